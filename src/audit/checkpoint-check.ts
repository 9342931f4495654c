import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Readable } from '../store/readable.ts'
import type { Findings } from './findings.ts'
import type { EntryRange, RangeResult } from './range-check.ts'
import type { TreeView } from './tree-view.ts'

/** Read at once: half a megabyte. */
export const checkpointsAtOnce = 500

/** Up to `checkpointsAtOnce` checkpoints with numbers above `after`, in order. */
export type CheckpointSource = (after: number) => Promise<Readable<StoredCheckpoint>[]>

/** Why a checkpoint is not what the log signed, undefined where it is: note, STH, and that they say what the columns say. */
export type SignatureReview = ((checkpoint: StoredCheckpoint) => string | undefined) | undefined

/** Stored checkpoints, in their order, against the tree of the rows. */
export class CheckpointCheck {
  readonly #read: CheckpointSource
  readonly #review: SignatureReview
  readonly #tree: TreeView
  readonly #findings: Findings
  #page: Readable<StoredCheckpoint>[] = []
  #isLastPage = false
  #lastNumber: number
  #checked: number
  #before: StoredCheckpoint | undefined
  #count = 0
  /** Size of the newest one that is of the tree. */
  #right = 0

  /** Those with numbers above `after`. */
  constructor(read: CheckpointSource, review: SignatureReview, tree: TreeView, findings: Findings, after = -1) {
    this.#read = read
    this.#lastNumber = after
    this.#checked = after
    this.#review = review
    this.#tree = tree
    this.#findings = findings
  }

  /** Number of the last one that was checked. */
  get last(): number {
    return this.#checked
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
    this.#checked = number
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
      this.#page = await this.#read(this.#lastNumber)
      this.#isLastPage = this.#page.length < checkpointsAtOnce
      const last = this.#page.at(-1)
      if (last !== undefined) this.#lastNumber = last.kind === 'read' ? last.value.number : last.at
    }
    return this.#page[0]
  }
}
