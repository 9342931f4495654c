import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import { type Readable, readCheckpoints } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Query } from '../store/session.ts'
import type { Findings } from './findings.ts'
import type { GrownTree } from './grown-tree.ts'
import type { EntryRange, RangeResult } from './range-check.ts'

/** Read at once: half a megabyte. */
const checkpointsAtOnce = 500

/** Why a checkpoint is not what the log signed, undefined where it is: note, STH, and that they say what the columns say. */
export type SignatureReview = ((checkpoint: StoredCheckpoint) => string | undefined) | undefined

/** Stored checkpoints, in their order, against the tree of the rows. */
export class CheckpointCheck {
  readonly #query: Query
  readonly #schema: Schema
  readonly #review: SignatureReview
  readonly #tree: GrownTree
  readonly #findings: Findings
  #page: Readable<StoredCheckpoint>[] = []
  #isLastPage = false
  #lastNumber = -1
  #before: StoredCheckpoint | undefined
  #count = 0
  /** Size of the newest one that is of the tree. */
  #right = 0

  constructor(query: Query, schema: Schema, review: SignatureReview, tree: GrownTree, findings: Findings) {
    this.#query = query
    this.#schema = schema
    this.#review = review
    this.#tree = tree
    this.#findings = findings
  }

  get count(): number {
    return this.#count
  }

  /** Those up to size `upTo`, as far as they were not checked before. */
  async check({ above, upTo }: EntryRange, range: RangeResult | undefined): Promise<void> {
    for (let next = await this.#peek(); next !== undefined; next = await this.#peek()) {
      if (next.kind === 'read' && next.value.treeSize > upTo) return
      this.#page.shift()
      this.#count++
      if (next.kind === 'unreadable') {
        const { at, reason } = next
        this.#findings.addTree({ kind: 'SIGNATURE_INVALID', checkpoint: at, treeSize: null, reason })
        continue
      }
      this.#checkAlone(next.value)
      const { treeSize, root: stored } = next.value
      if (treeSize <= above || range?.isComplete === false) continue
      const root = this.#tree.root(treeSize)
      if (equalBytes(root, stored)) {
        this.#right = treeSize
        continue
      }
      const sizes = { treeSize, lastTreeSize: treeSize, sequenceNumber: this.#right + 1, lastSequenceNumber: treeSize }
      const hashes = { computed: formatHex(root), stored: formatHex(stored) }
      this.#findings.addTree({ kind: 'ROOT_MISMATCH', of: 'checkpoint', ...sizes, differs: 'root', ...hashes })
    }
  }

  /** When the whole tree was joined: checkpoints of larger trees. */
  async checkRest(size: number): Promise<void> {
    let largest = 0
    for (let next = await this.#peek(); next !== undefined; next = await this.#peek()) {
      this.#page.shift()
      this.#count++
      if (next.kind === 'unreadable') continue
      this.#checkAlone(next.value)
      largest = Math.max(largest, next.value.treeSize)
    }
    if (largest <= size) return
    const known = { knownSize: largest, knownBy: 'checkpoint', sequenceNumber: size + 1 } as const
    this.#findings.addTree({ kind: 'HEAD_TRUNCATED', treeSize: size, ...known })
  }

  /** Signatures, and that neither sizes nor times go back. */
  #checkAlone(checkpoint: StoredCheckpoint): void {
    const { number, treeSize, timestampMs } = checkpoint
    const reason = this.#review?.(checkpoint)
    if (reason !== undefined) {
      this.#findings.addTree({ kind: 'SIGNATURE_INVALID', checkpoint: number, treeSize, reason })
    }
    const before = this.#before
    this.#before = checkpoint
    if (before === undefined) return
    if (treeSize < before.treeSize) {
      const knownBy = `checkpoint ${before.number}`
      this.#findings.addTree({ kind: 'ROLLBACK', treeSize, knownSize: before.treeSize, knownBy })
    }
    if (timestampMs <= before.timestampMs) {
      const times = { timestampMs, predecessorsTimestampMs: before.timestampMs }
      this.#findings.addTree({ kind: 'CLOCK_BACKWARDS', checkpoint: number, ...times })
    }
  }

  async #peek(): Promise<Readable<StoredCheckpoint> | undefined> {
    if (this.#page.length === 0 && !this.#isLastPage) {
      this.#page = await readCheckpoints(this.#query, this.#schema, this.#lastNumber, checkpointsAtOnce)
      this.#isLastPage = this.#page.length < checkpointsAtOnce
      const last = this.#page.at(-1)
      if (last !== undefined) this.#lastNumber = last.kind === 'read' ? last.value.number : last.at
    }
    return this.#page[0]
  }
}
