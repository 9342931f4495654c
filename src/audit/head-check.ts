import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import { readHeads, readHeadUpTo } from '../store/head-reads.ts'
import type { Query } from '../store/session.ts'
import type { Findings } from './findings.ts'
import type { EntryRange, RangeResult } from './range-check.ts'
import type { SealCheck } from './seal-check.ts'
import type { TreeView } from './tree-view.ts'

/** Read at once. */
const headsAtOnce = 2_000

/** Heads, one a commit, against the tree of the rows: seal, link, nodes, root, chain hash. */
export class HeadCheck {
  readonly #query: Query
  readonly #schema: Schema
  readonly #isSealed: SealCheck
  readonly #tree: TreeView
  readonly #findings: Findings
  #before: TreeHead | undefined
  /** Size of the newest head that is of the tree. */
  #right = 0

  constructor(query: Query, schema: Schema, isSealed: SealCheck, tree: TreeView, findings: Findings) {
    this.#query = query
    this.#schema = schema
    this.#isSealed = isSealed
    this.#tree = tree
    this.#findings = findings
  }

  /** Heads of sizes above `above`, up to `upTo`, of which the tree can tell the roots. */
  async check({ above, upTo }: EntryRange, range: RangeResult | undefined): Promise<void> {
    const wrongChains: TreeHead[] = []
    if (this.#before === undefined && above >= 0) {
      const before = await readHeadUpTo(this.#query, this.#schema, above)
      if (before?.kind === 'read') this.#before = before.value
    }
    for (let from = above; ; ) {
      const heads = await readHeads(this.#query, this.#schema, from, upTo, headsAtOnce)
      for (const head of heads) {
        from = head.kind === 'read' ? head.value.treeSize : head.at
        if (head.kind === 'unreadable') {
          this.#findings.addTree({ kind: 'FORGED_HEAD', treeSize: head.at, reason: head.reason })
          continue
        }
        this.#checkHead(head.value, range)
        if (range !== undefined && this.#isOtherChain(head.value, range)) wrongChains.push(head.value)
      }
      if (heads.length < headsAtOnce) break
    }
    if (range !== undefined) this.#tellRewritten(range, wrongChains)
  }

  #checkHead(head: TreeHead, range: RangeResult | undefined): void {
    const { treeSize } = head
    const forged = (reason: string): void => this.#findings.addTree({ kind: 'FORGED_HEAD', treeSize, reason })
    if (this.#isSealed?.(head) === false) forged('its seal is not one of the log')
    const before = this.#before
    if (
      before !== undefined &&
      !(head.previousSize === before.treeSize && equalBytes(head.previousRoot, before.root))
    ) {
      forged(`it builds upon size ${head.previousSize}; the head before it is of size ${before.treeSize}`)
    }
    this.#before = head
    if (range?.isComplete === false) return
    const packed = this.#tree.packed(treeSize)
    const root = this.#tree.root(treeSize)
    if (!equalBytes(root, head.root)) this.#addMismatch('root', treeSize, root, head.root)
    else if (!equalBytes(packed, head.frontier)) this.#addMismatch('nodes', treeSize, packed, head.frontier)
    else this.#right = treeSize
  }

  /** A row that is wrong by itself is told of already. */
  #isOtherChain({ treeSize, chainHash }: TreeHead, { findings }: RangeResult): boolean {
    if (treeSize > this.#right || equalBytes(this.#tree.chainHash(treeSize), chainHash)) return false
    return !findings.some((f) => f.sequenceNumber <= treeSize && treeSize <= f.lastSequenceNumber)
  }

  /**
   * Rows that agree with themselves but not with the tree. Where a head knows another chain hash the chain was made
   * anew; otherwise only what stands beside it was changed, and the leaf hash with it.
   */
  #tellRewritten({ rewritten }: RangeResult, wrongChains: readonly TreeHead[]): void {
    const told = new Set<TreeHead>()
    for (const { above, upTo, leafHash, tileHash } of rewritten) {
      const entries = { sequenceNumber: above + 1, lastSequenceNumber: upTo }
      const heads = wrongChains.filter(({ treeSize }) => above < treeSize && treeSize <= upTo)
      for (const head of heads) told.add(head)
      if (heads.length > 0) {
        this.#findings.addTree({ kind: 'ROOT_MISMATCH', of: 'entries', ...entries, leafHash, tile: tileHash })
      } else {
        const fields = 'timestamp, eventId, occurredAt, lamport, clientIp, writer or sourcePosition'
        const hashes = { computed: leafHash, stored: leafHash, tile: tileHash }
        this.#findings.addRow({ kind: 'LEAF_MISMATCH', ...entries, fields, leafHash: hashes })
      }
    }
    for (const head of wrongChains) {
      if (told.has(head)) continue
      this.#addMismatch('chain hash', head.treeSize, this.#tree.chainHash(head.treeSize), head.chainHash)
    }
  }

  #addMismatch(
    differs: 'root' | 'nodes' | 'chain hash',
    treeSize: number,
    computed: Uint8Array,
    stored: Uint8Array,
  ): void {
    const sizes = { treeSize, lastTreeSize: treeSize, sequenceNumber: this.#right + 1, lastSequenceNumber: treeSize }
    const hashes = { computed: formatHex(computed), stored: formatHex(stored) }
    this.#findings.addTree({ kind: 'ROOT_MISMATCH', of: 'head', ...sizes, differs, ...hashes })
  }
}
