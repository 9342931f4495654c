import type { Sha256 } from '../../tlog/hash.ts'
import { loggableMessage } from '../ops/describe-error.ts'
import { readCheckpoints, readNewestCheckpoints, readRowsAbove } from '../store/audit-reads.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import type { ReadSession } from '../store/copy-out.ts'
import { readNewestHeads } from '../store/head-reads.ts'
import { CheckpointCheck, checkpointsAtOnce, type SignatureReview } from './checkpoint-check.ts'
import { checkNumbers } from './checkpoint-numbers.ts'
import { checkEvidence, type EvidenceReview } from './evidence-check.ts'
import { readExpected } from './expected-nodes.ts'
import type { Finding, TreeFinding } from './finding.ts'
import { Findings } from './findings.ts'
import { GrownTree } from './grown-tree.ts'
import { HeadCheck } from './head-check.ts'
import { type KnownHead, OutsideCheck } from './outside-check.ts'
import type { RangeResult } from './range-check.ts'
import { joinEdges, type RangeEnd } from './range-join.ts'
import { rangeLeaves } from './range-nodes.ts'
import type { RangeJob } from './range-work.ts'
import { type AskOutside, readNewestSigned } from './reconcile.ts'
import type { SchemaCheck } from './schema-check.ts'
import type { SealCheck } from './seal-check.ts'
import { checkStrays, checkTile } from './strays.ts'
import { tamperedSchema } from './tampered-schema.ts'

export type VerifyOptions = {
  /** Of the auditors' role; nobody else uses it meanwhile. */
  readonly session: ReadSession
  readonly ranges: RangeChecker
  readonly schema: Schema
  readonly sha256: Sha256
  /** Undefined where the key is not at hand: then seals, or signatures, are not checked, and the result says so. */
  readonly isSealed: SealCheck
  readonly review: SignatureReview
  readonly schemaCheck: Pick<SchemaCheck, 'review'>
  /** Of cosignatures and anchors; undefined: they are not checked. */
  readonly evidence?: EvidenceReview | undefined
  /** What others know of this log. */
  readonly askOutside: AskOutside
  /** Told how far the rows are checked, and of how many. */
  readonly onProgress: (checked: number, size: number) => void
}

/**
 * Checks ranges in whatever order, and hands the results to `join` in theirs: `RangeThreads`, or one after the other. The
 * buffers of a result are used again when the one after it was joined.
 */
export type RangeChecker = {
  readonly checkAll: (
    jobs: Iterable<RangeJob>,
    join: (result: RangeResult) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>
}

export type Verification = {
  /** The tree that was checked: all that was committed when the run began. */
  readonly treeSize: number
  readonly root: Uint8Array
  readonly rows: number
  readonly checkpoints: number
  readonly findings: readonly Finding[]
  /** How many more there were. */
  readonly omitted: number
  /** What cannot be checked in this database, and why. */
  readonly notChecked: readonly string[]
  /** What should have been checked and could not be now, and why. */
  readonly missed: readonly string[]
}

/** Heads that are looked at for one that is sealed. */
const headsMax = 1_000

/**
 * One pass over the whole ledger (DESIGN section 6): each row against itself and the row before it, all rows against the
 * tree, and the tree against its tiles, heads and checkpoints and against what is known outside. All findings are told,
 * and a broken row does not make those behind it findings. Rejects where it cannot check, with the database's error,
 * unless it has found something before.
 */
export async function verifyLedger(options: VerifyOptions, signal: AbortSignal): Promise<Verification> {
  return new LedgerRun(options).run(signal)
}

class LedgerRun {
  readonly #options: VerifyOptions
  readonly #findings = new Findings()
  readonly #tree: GrownTree
  readonly #heads: HeadCheck
  readonly #checkpoints: CheckpointCheck
  #outside: OutsideCheck
  #known: readonly KnownHead[] = []
  #notAsked: readonly string[] = []
  #rows = 0
  #joinedSize = 0
  #edge: RangeEnd | undefined
  /** Number of the newest one when the size was read: later ones are of larger trees. */
  #newestCheckpoint = -1

  constructor(options: VerifyOptions) {
    const { session, schema, isSealed, review, sha256 } = options
    this.#options = options
    this.#tree = new GrownTree(sha256)
    const checkpoints = (after: number): ReturnType<typeof readCheckpoints> =>
      readCheckpoints(session.query, schema, { above: after, upTo: this.#newestCheckpoint }, checkpointsAtOnce)
    this.#heads = new HeadCheck(session.query, schema, isSealed, this.#tree, this.#findings)
    this.#checkpoints = new CheckpointCheck(checkpoints, review, this.#tree, this.#findings)
    this.#outside = new OutsideCheck([], this.#tree, this.#findings)
  }

  async run(signal: AbortSignal): Promise<Verification> {
    let size = 0
    let refusal: TreeFinding | undefined
    try {
      await this.#askOutside()
      const head = await this.#findHead()
      size = head?.treeSize ?? 0
      await this.#checkAll(size, signal)
    } catch (error) {
      refusal = tamperedSchema(error)
      if (refusal === undefined) return this.#endedBy(error, size, signal)
    }
    const { session, schemaCheck } = this.#options
    const { findings, notChecked, unknown } = await schemaCheck.review(session.query)
    // What was refused is said better by what was found to differ.
    for (const finding of findings.length > 0 || refusal === undefined ? findings : [refusal]) {
      this.#findings.addTree(finding)
    }
    const missed = refusal === undefined ? [] : [this.#behind(refusal.kind)]
    return this.#result(size, notChecked, unknown === undefined ? missed : [...missed, unknown])
  }

  /** What was found before the end is a violation all the same. */
  #endedBy(error: unknown, size: number, signal: AbortSignal): Verification {
    if (this.#findings.isEmpty || signal.aborted || !(error instanceof Error)) throw error
    return this.#result(size, [], [this.#behind(loggableMessage(error))])
  }

  #behind(reason: string): string {
    return `what is behind entry ${this.#joinedSize}: ${reason}`
  }

  #result(size: number, notChecked: readonly string[], missed: readonly string[]): Verification {
    return {
      treeSize: size,
      root: this.#tree.root(this.#joinedSize),
      rows: this.#rows,
      checkpoints: this.#checkpoints.count,
      findings: this.#findings.inOrder(size),
      omitted: this.#findings.omitted,
      notChecked,
      missed: [...this.#notAsked, ...missed],
    }
  }

  async #askOutside(): Promise<void> {
    const { session, schema, review, askOutside } = this.#options
    const { known, findings, notAsked } = await askOutside(await readNewestSigned(session.query, schema, review))
    this.#outside = new OutsideCheck(known, this.#tree, this.#findings)
    this.#known = known
    this.#notAsked = notAsked
    for (const finding of findings) this.#findings.addTree(finding)
  }

  async #checkAll(size: number, signal: AbortSignal): Promise<void> {
    const empty = { above: -1, upTo: 0 }
    await this.#heads.check(empty, undefined)
    await this.#checkpoints.check(empty, undefined)
    this.#outside.check(empty, undefined)
    await this.#options.ranges.checkAll(await this.#jobsOf(size), (result) => this.#join(result, size), signal)
    await this.#checkpoints.checkRest(size)
    const { session, schema } = this.#options
    const next = await checkNumbers(session.query, schema, { from: 0, seen: 0 }, this.#known, this.#findings)
    await checkEvidence(session.query, schema, this.#options.evidence, { from: 0, next }, this.#findings)
    this.#outside.checkRest(size)
    await checkStrays(session, schema, size, this.#findings)
  }

  /** Ranges of the first `size` entries. */
  async #jobsOf(size: number): Promise<readonly RangeJob[]> {
    const { session, schema, isSealed } = this.#options
    const jobs: RangeJob[] = []
    for (let above = 0; above < size; above += rangeLeaves) {
      const range = { above, upTo: Math.min(size, above + rangeLeaves) }
      jobs.push({ range, expected: await readExpected(session.query, schema, isSealed, range) })
    }
    return jobs
  }

  /** The newest head that may be built upon; what stands above it is told. All of one moment. */
  async #findHead(): Promise<TreeHead | undefined> {
    const { session, schema, isSealed } = this.#options
    await session.query('begin isolation level repeatable read read only')
    try {
      const heads = await readNewestHeads(session.query, schema, headsMax)
      let found: TreeHead | undefined
      for (const head of heads) {
        if (head.kind === 'read' && isSealed?.(head.value) !== false) {
          found = head.value
          break
        }
        const reason = head.kind === 'read' ? 'its seal is not one of the log' : head.reason
        const treeSize = head.kind === 'read' ? head.value.treeSize : head.at
        this.#findings.addTree({ kind: 'FORGED_HEAD', treeSize, reason })
      }
      const [checkpoint] = await readNewestCheckpoints(session.query, schema, 1)
      if (checkpoint !== undefined) {
        this.#newestCheckpoint = checkpoint.kind === 'read' ? checkpoint.value.number : checkpoint.at
      }
      const above = await readRowsAbove(session.query, schema, found?.treeSize ?? 0)
      if (above !== undefined) {
        const { first, last, count } = above
        this.#findings.addTree({ kind: 'UNSEALED_ROWS', sequenceNumber: first, lastSequenceNumber: last, count })
      }
      return found
    } finally {
      await session.query('rollback')
    }
  }

  async #join(range: RangeResult, size: number): Promise<void> {
    this.#rows += range.rows
    this.#joinedSize = range.upTo
    for (const finding of joinEdges(this.#edge, range)) this.#findings.addRow(finding)
    this.#edge = range.edge
    for (const finding of range.findings) this.#findings.addRow(finding)
    this.#findings.addOmitted(range.omitted)
    for (const { level, index, problem } of range.tileDefects) this.#addTile(level, index, problem)
    const { session, schema } = this.#options
    for (const tile of this.#tree.add(range)) await checkTile(session, schema, tile, this.#findings)
    await this.#heads.check(range, range)
    await this.#checkpoints.check(range, range)
    this.#outside.check(range, range)
    this.#options.onProgress(range.upTo, size)
  }

  #addTile(level: number, index: number, problem: 'missing' | 'altered' | 'mid roots altered' | 'not full'): void {
    this.#findings.addTree({ kind: 'TILE_MISMATCH', level, index, problem })
  }
}
