import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadSession } from '../store/copy-out.ts'
import { checkNumbers, checkpointsProbed } from './checkpoint-numbers.ts'
import { describeFinding } from './describe-finding.ts'
import { checkEvidence, type EvidenceReview, evidenceSpan } from './evidence-check.ts'
import { readExpected, readTailEnd } from './expected-nodes.ts'
import { readExtent } from './extent.ts'
import { type Finding, sequenceNumberOf } from './finding.ts'
import { keyOf } from './finding-key.ts'
import { Findings } from './findings.ts'
import type { KnownHead } from './outside-check.ts'
import { Probes } from './probes.ts'
import { createResultBuffers } from './range-buffers.ts'
import type { EntryRange, RangeResult } from './range-check.ts'
import { rangeLeaves } from './range-nodes.ts'
import type { RangeWork } from './range-work.ts'
import { type AskOutside, type Outside, readNewestSigned } from './reconcile.ts'
import type { SchemaCheck } from './schema-check.ts'
import { checkStrays, checkTile, upperTilesOf } from './strays.ts'
import { checkAgain } from './sweep-check.ts'
import { joinTail, type TreeChecks } from './tail-check.ts'
import { tamperedSchema } from './tampered-schema.ts'
import { coveredMsOf, type KnownFinding, type VerifierState, withoutFuture } from './verifier-state.ts'
import { WatchMemory, type WatchMemoryOptions } from './watch-memory.ts'
import type { WatchProgress } from './watch-progress.ts'
import { defaultTiming, rangeEveryMs, type WatchTiming } from './watch-timing.ts'

export type WatchOptions = Omit<TreeChecks, 'query'> &
  Omit<WatchMemoryOptions, 'saveMs'> & {
    /** Of the verifier's login, one connection each. */
    readonly session: ReadSession
    readonly work: RangeWork
    readonly schemaCheck: Pick<SchemaCheck, 'review'>
    readonly evidence?: EvidenceReview | undefined
    /** What others know of this log now: asked before the database is. */
    readonly askOutside: AskOutside
    /** Told once of each. */
    readonly onFinding: (finding: Finding, known: KnownFinding) => Promise<void>
    /** Told once of each reason why something cannot be checked, while the rest is. */
    readonly onNotChecked: (reason: string) => void
    /** Rows of the range were written again since they were probed last, and say what they said. */
    readonly onRewritten: (range: EntryRange) => void
    /** By when it will have looked again; null where that is not known. */
    readonly dueMs: () => number | null
    readonly nowMs: () => number
    readonly timing?: Partial<WatchTiming>
  }

/**
 * The verifier that never ends: new entries at once; rows of the newest million when a probe says that they were changed;
 * and all of the rest again and again, each within `coverMs`. It believes what it computed itself and what it remembers
 * outside of the database. What it finds is told once; what it cannot check rejects, and is no finding.
 */
export class Watch {
  readonly #options: WatchOptions
  readonly #timing: WatchTiming
  readonly #checks: TreeChecks
  readonly #probes: Probes
  readonly #buffers = createResultBuffers()
  readonly #memory: WatchMemory
  readonly #notChecked = new Set<string>()
  #size = 0
  #verified: number
  #checkedMs: number | undefined
  #scanned = 0
  #probedAt = Number.NEGATIVE_INFINITY
  #rangeTookMs = 0
  /** Ranges of findings that were forgotten. */
  readonly #doubted = new Set<number>()
  /** The number behind the newest that was seen. */
  #nextCheckpoint = 0
  /** Why the schema could not be compared when it was looked at last, where it could not. */
  #schemaUnknown: string | undefined
  #notAsked: readonly string[] = []
  /** What others knew when they were asked last. */
  #known: readonly KnownHead[] = []

  constructor(state: VerifierState, options: WatchOptions) {
    const { session, schema, sha256, isSealed, review, timing } = options
    this.#options = options
    this.#timing = { ...defaultTiming, ...timing }
    this.#checks = { query: session.query, schema, sha256, isSealed, review }
    this.#probes = new Probes(session.query, schema, state.probed)
    this.#memory = new WatchMemory(withoutFuture(state, options.nowMs()), { ...options, saveMs: this.#timing.saveMs })
    this.#verified = state.base.size
  }

  get #state(): VerifierState {
    return this.#memory.state
  }

  /** What was found, ever. */
  get findings(): readonly KnownFinding[] {
    return this.#memory.told.findings
  }

  get progress(): WatchProgress {
    const { sweep } = this.#state
    const ranges = Math.ceil(this.#verified / rangeLeaves)
    return {
      verifiedSize: this.#verified,
      size: this.#size,
      checkedMs: this.#checkedMs,
      coveredMs: coveredMsOf(this.#state),
      ranges,
      rangesDone: Math.min(sweep.next, ranges),
      findings: this.#memory.told.findings.length,
      scanned: this.#scanned,
      missed: this.#missed,
    }
  }

  /** Watches until `signal` aborts, and keeps its state then. Rejects where it cannot check. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const sizeBefore = this.#size
        const startedAt = performance.now()
        const hasWorked = await this.step()
        const tookMs = performance.now() - startedAt
        const isBusy = (this.#size - sizeBefore) * 1_000 > this.#timing.busyRate * tookMs && sizeBefore > 0
        const factor = isBusy ? this.#timing.restWhileBusy : this.#timing.restFactor
        await sleep(hasWorked ? factor * tookMs : this.#timing.idleMs, undefined, { signal }).catch(() => {})
      }
    } finally {
      await this.#keep(true)
    }
  }

  /** Does all that is due now, and keeps the state; what it missed is in `progress`. Rejects where it can check nothing. */
  async runOnce(signal: AbortSignal): Promise<void> {
    try {
      while (await this.step()) signal.throwIfAborted()
    } finally {
      await this.#keep(true)
    }
  }

  /** Does what is next. False where there was nothing to do. */
  async step(): Promise<boolean> {
    try {
      const outside = await this.#askOutside()
      await this.#readExtent(outside)
      const hasWorked = await this.#doNext()
      if (this.#missed === undefined) this.#checkedMs = this.#options.nowMs()
      return hasWorked
    } catch (error) {
      const refusal = tamperedSchema(error)
      if (refusal === undefined) throw error
      // What differs says it better.
      if (!(await this.#checkSchema())) await this.#tell([refusal])
      this.#checkedMs = this.#options.nowMs()
      return false
    } finally {
      await this.#keep(false)
    }
  }

  /** Whoever cannot be asked is not one who knows nothing: the rest is checked all the same. */
  get #missed(): string | undefined {
    const reasons = [...this.#notAsked, this.#schemaUnknown, this.#memory.notKept].filter((each) => each !== undefined)
    return reasons.length === 0 ? undefined : reasons.join('; ')
  }

  async #doNext(): Promise<boolean> {
    if (this.#size > this.#verified) {
      await this.#checkTail()
      return true
    }
    const [doubted] = this.#doubted
    if (doubted !== undefined) {
      this.#doubted.delete(doubted)
      await this.#checkRange(doubted)
      return true
    }
    if (performance.now() - this.#probedAt >= this.#timing.probeMs) {
      this.#probedAt = performance.now()
      await this.#checkSchema()
      await this.#probe()
      return true
    }
    if (!this.#isSweepDue()) return false
    await this.#sweep()
    return true
  }

  async #askOutside(): Promise<Outside> {
    const { session, schema, review, askOutside } = this.#options
    const outside = await askOutside(await readNewestSigned(session.query, schema, review))
    ;({ known: this.#known, notAsked: this.#notAsked } = outside)
    return outside
  }

  /** By the clock, which goes on while no verifier runs. */
  #isSweepDue(): boolean {
    if (this.#there === 0) return false
    const { next, startedMs } = this.#state.sweep
    const ranges = Math.ceil(this.#there / rangeLeaves)
    const everyMs = rangeEveryMs(this.#timing, ranges, this.#rangeTookMs)
    const sinceMs = this.#options.nowMs() - startedMs
    // A clock that was ahead and is right again puts off nothing.
    return sinceMs < 0 || sinceMs >= Math.min(next, ranges) * everyMs
  }

  /** What was verified and is there: a log that was rolled back has less. */
  get #there(): number {
    return Math.min(this.#verified, this.#size)
  }

  async #readExtent(outside: Outside): Promise<void> {
    const { session, schema, isSealed } = this.#options
    const known = { outside, verified: this.#verified, size: this.#size }
    const { size, findings } = await readExtent(session.query, schema, isSealed, known)
    this.#size = size
    await this.#tell(findings.inOrder(size))
  }

  async #checkTail(): Promise<void> {
    const above = this.#state.base.size
    const tail = { above, verified: this.#verified, size: this.#size, stepEntries: this.#timing.stepEntries }
    const upTo = await readTailEnd(this.#checks.query, this.#checks.schema, tail)
    await this.#probes.advance({ above: this.#verified, upTo })
    const result = await this.#check({ above, upTo })
    const joined = await joinTail(this.#checks, this.#state, result, this.#known)
    this.#memory.change({ ...joined.state, probed: this.#probes.known })
    this.#verified = upTo
    await this.#tell(joined.findings.inOrder(upTo))
  }

  /** Whether it is not what migrations make. */
  async #checkSchema(): Promise<boolean> {
    const { schemaCheck, session, onNotChecked } = this.#options
    const { findings, notChecked, unknown } = await schemaCheck.review(session.query)
    this.#schemaUnknown = unknown
    for (const reason of notChecked) {
      if (!this.#notChecked.has(reason)) onNotChecked(reason)
      this.#notChecked.add(reason)
    }
    await this.#tell(findings)
    return findings.length > 0
  }

  async #probe(): Promise<void> {
    await this.#checkNumbers(Math.max(0, this.#nextCheckpoint - checkpointsProbed))
    for (const { range, isRewritten } of await this.#probes.look(this.#there)) {
      const isAsItWas = await this.#checkAgain(range)
      if (isRewritten && isAsItWas) this.#options.onRewritten(range)
    }
    this.#memory.change({ probed: this.#probes.known })
  }

  /** The next range of the round; a round ends with the rows of no full range. */
  async #sweep(): Promise<void> {
    const { sweep } = this.#state
    const there = this.#there
    const next = sweep.next * rangeLeaves < there ? sweep.next : 0
    const startedMs = next === 0 ? this.#options.nowMs() : sweep.startedMs
    const startedAt = performance.now()
    await this.#checkRange(next)
    this.#rangeTookMs = performance.now() - startedAt
    const isEnd = (next + 1) * rangeLeaves >= there
    if (isEnd) await this.#checkAround()
    this.#memory.change({
      sweep: { next: next + 1, startedMs },
      ...(isEnd ? { coveredMs: startedMs } : {}),
    })
  }

  async #checkRange(index: number): Promise<void> {
    const above = index * rangeLeaves
    const upTo = Math.min(this.#there, above + rangeLeaves)
    if (above < upTo) await this.#checkAgain({ above, upTo })
  }

  /** What is in no range. */
  async #checkAround(): Promise<void> {
    await this.#checkNumbers(0)
    const findings = new Findings()
    const { session } = this.#options
    const { schema, sha256 } = this.#checks
    for (const tile of upperTilesOf(this.#state.rangeRoots, sha256)) await checkTile(session, schema, tile, findings)
    await checkStrays(session, schema, this.#there, findings)
    await this.#tell(findings.inOrder(this.#there))
  }

  async #checkNumbers(from: number): Promise<void> {
    const [findings, { query, schema }] = [new Findings(), this.#checks]
    const seen = this.#nextCheckpoint
    this.#nextCheckpoint = await checkNumbers(query, schema, { from, seen }, this.#known, findings)
    const span = evidenceSpan(from, seen, this.#nextCheckpoint)
    await checkEvidence(query, schema, this.#options.evidence, span, findings)
    await this.#tell(findings.inOrder(this.#size))
  }

  /** Whether it is as it should be. */
  async #checkAgain(range: EntryRange): Promise<boolean> {
    const result = await this.#check(range)
    const findings = await checkAgain(this.#checks, this.#state, result, this.#known)
    await this.#tell(findings.inOrder(range.upTo))
    return findings.isEmpty
  }

  async #check(range: EntryRange): Promise<RangeResult> {
    const { query, schema, isSealed } = this.#checks
    const expected = await readExpected(query, schema, isSealed, range, this.#state.base)
    this.#scanned += range.upTo - range.above
    return this.#options.work.check({ range, expected, buffers: this.#buffers })
  }

  async #tell(findings: readonly Finding[]): Promise<void> {
    const { told } = this.#memory
    for (const finding of findings) {
      const key = keyOf(finding)
      if (!told.takes(key)) continue
      const known: KnownFinding = {
        key,
        violationType: finding.kind,
        sequenceNumber: sequenceNumberOf(finding) ?? null,
        detail: describeFinding(finding),
        firstSeenMs: this.#options.nowMs(),
      }
      await this.#options.onFinding(finding, known)
      told.add(known)
      this.#memory.change({})
      await this.#keep(false)
    }
    if (told.hasUnkept) await this.#keep(true)
  }

  /** What somebody has forgotten is told again where it is still there: soon, and not when its turn comes. */
  #lookAgain(forgotten: readonly KnownFinding[]): void {
    if (forgotten.length === 0) return
    this.#probes.forgetAll()
    this.#probedAt = Number.NEGATIVE_INFINITY
    for (const { sequenceNumber } of forgotten) {
      if (sequenceNumber !== null) this.#doubted.add(Math.floor((sequenceNumber - 1) / rangeLeaves))
    }
  }

  async #keep(isUrgent: boolean): Promise<void> {
    const { state } = this.#memory
    const look = {
      checkedMs: this.#checkedMs ?? state.look.checkedMs,
      missed: this.#missed ?? null,
      dueMs: this.#options.dueMs(),
    }
    if (look.missed !== state.look.missed) this.#memory.change({ look })
    this.#lookAgain(await this.#memory.keep(isUrgent, { look }))
  }
}
