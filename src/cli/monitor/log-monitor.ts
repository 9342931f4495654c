import { formatBase64 } from '../../../tlog/bytes.ts'
import { describeFinding, evidenceOf, type Finding, placeOf } from '../../client/finding.ts'
import type { LogClient } from '../../client/log-client.ts'
import { type Check, checkOnce, type MonitorOptions } from '../../client/monitor.ts'
import type { SweptEntry } from '../../client/sweep-entries.ts'
import type { Hook } from '../../ops/hooks/hook.ts'
import { sendNow } from '../../ops/hooks/send-now.ts'
import type { GatheredMatches } from '../../rules/gather-matches.ts'
import { findingOfMatches } from '../../rules/gather-matches.ts'
import { describeError } from '../describe-error.ts'
import { alarmOf } from './alarm.ts'
import { keepEvidence } from './evidence-file.ts'
import type { EntryTaker } from './rule-watch.ts'
import { type KnownFinding, type KnownMatch, type MonitorState, type Told, writeState } from './state.ts'

export type LogMonitorOptions = {
  readonly client: LogClient
  /** As evidence names them. */
  readonly url: string
  readonly vkey: string
  readonly stateFile: string
  /** The checkpoint to begin with where the state has none: a note. */
  readonly begin: string | undefined
  readonly evidenceFolder: string
  readonly hooks: readonly Hook[]
  readonly sth: { readonly publicKey?: Uint8Array; readonly maxAgeMs: number } | undefined
  readonly readsTiles: boolean
  /** Takes the entries that were read and checked, in order; undefined: entries are not read. */
  readonly entries: EntryTaker | undefined
  /** Told of each match at once, of those of a rule and a group once a batch. */
  readonly onMatch: (matches: GatheredMatches) => void
  /** A new UUIDv7 as text. */
  readonly makeId: () => string
  readonly nowMs: () => number
  /** Told of what went wrong beside the check: alarms that did not arrive, evidence that could not be written. */
  readonly onTrouble: (reason: string) => void
}

/** What a look came to. */
export type Looked = {
  readonly url: string
  readonly check: Check
  readonly atMs: number
  /** Of a violation that was seen now. */
  readonly finding: KnownFinding | undefined
  readonly state: MonitorState
}

/** Of more places one only counts. A log that does so much wrong is known to do so. */
const findingsMax = 100
/** The oldest are forgotten: what belongs to them is told again. */
const matchesMax = 1_000
/** Of an alarm to a hook, over all looks; `sendNow` tries a few times in each. */
const attemptsMax = 20
/** While a sweep goes on. */
const writeEveryMs = 5_000

/** Looks at a log from outside, and remembers in a file what it believed and what it found. */
export class LogMonitor {
  readonly #options: LogMonitorOptions
  #state: MonitorState
  #written: MonitorState
  #writtenMs = Number.NEGATIVE_INFINITY

  constructor(state: MonitorState, options: LogMonitorOptions) {
    this.#options = options
    this.#state = state
    this.#written = state
  }

  /** Rejects where the state cannot be kept, and with the reason of `signal`. */
  async look(signal: AbortSignal): Promise<Looked> {
    const { nowMs } = this.#options
    try {
      const atMs = nowMs()
      const check = await this.#check(signal)
      if (check.kind !== 'unchecked') this.#rememberBegin()
      const finding = check.kind === 'violated' ? await this.#remember(check.finding, atMs) : undefined
      // Whoever is to be told of a violation is told, whatever the disk says.
      await (finding === undefined ? this.#write() : this.#writeOrSay())
      await this.#tellUntold(signal)
      return { url: this.#options.url, check, atMs, finding, state: this.#state }
    } catch (error) {
      // What a sweep has done is not done again.
      await this.#writeOrSay()
      throw error
    }
  }

  async #check(signal: AbortSignal): Promise<Check> {
    const { client, begin, readsTiles, entries: taker } = this.#options
    const options = this.#monitorOptions(signal)
    const { tiles, entries, ...alone } = options
    const sweeps = { ...(readsTiles && tiles ? { tiles } : {}), ...(taker && entries ? { entries } : {}) }
    const isFirst = this.#state.checkpoint === undefined && begin === undefined && Object.keys(sweeps).length > 0
    if (!isFirst) return checkOnce(client, { ...alone, ...sweeps }, signal)
    // It is believed anyhow, and a sweep over all of a large log goes on from here when it is interrupted.
    const first = await checkOnce(client, alone, signal)
    if (first.kind !== 'advanced' && first.kind !== 'stale') return first
    const check = await checkOnce(client, { ...alone, ...sweeps }, signal)
    return check.kind === 'unchanged' ? first : check
  }

  #monitorOptions(signal: AbortSignal): MonitorOptions {
    const { begin, sth } = this.#options
    const position = (name: 'tilesSize' | 'entriesSize') => ({
      load: async () => this.#state[name],
      save: (size: number) => this.#sweptTo({ [name]: size }),
    })
    return {
      load: async () => this.#state.checkpoint ?? begin,
      save: async (checkpoint) => {
        this.#state = { ...this.#state, checkpoint }
        await this.#write()
      },
      tiles: position('tilesSize'),
      entries: { ...position('entriesSize'), take: (entries) => this.#take(entries, signal) },
      ...(sth === undefined ? {} : { sth: { ...sth, nowMs: this.#options.nowMs, state: this.#sthState() } }),
    }
  }

  #sthState(): NonNullable<NonNullable<MonitorOptions['sth']>['state']> {
    return {
      load: async () => this.#state.sth,
      save: async (sth) => {
        if (this.#state.sth?.timestampMs !== sth.timestampMs) this.#state = { ...this.#state, sth }
      },
    }
  }

  async #sweptTo(sizes: Partial<Pick<MonitorState, 'tilesSize' | 'entriesSize'>>): Promise<void> {
    const state = { ...this.#state, ...sizes }
    if (state.tilesSize === this.#state.tilesSize && state.entriesSize === this.#state.entriesSize) return
    this.#state = state
    if (performance.now() - this.#writtenMs > writeEveryMs) await this.#write()
  }

  /** A match is remembered before hooks are told of it. */
  async #take(entries: readonly SweptEntry[], signal: AbortSignal): Promise<void> {
    const { entries: taker, onMatch } = this.#options
    const matches = taker?.take(entries) ?? []
    if (matches.length === 0) return
    for (const gathered of matches) {
      onMatch(gathered)
      this.#rememberMatch(gathered)
    }
    await this.#writeOrSay()
    await this.#tellMatches(signal, ({ attempts }) => attempts === 0)
  }

  #rememberMatch(gathered: GatheredMatches): void {
    const { place, detail, ...finding } = findingOfMatches(gathered)
    const key = `${finding.violationType}@${place}`
    if (this.#state.matches.some((known) => known.key === key)) return
    const known = { ...finding, key, ...this.#newTold(detail, this.#options.nowMs()) }
    this.#state = { ...this.#state, matches: [...this.#state.matches, known].slice(-matchesMax) }
  }

  async #write(): Promise<void> {
    if (this.#state === this.#written) return
    const state = this.#state
    await this.#options.entries?.save()
    await writeState(this.#options.stateFile, state)
    this.#written = state
    this.#writtenMs = performance.now()
  }

  async #writeOrSay(): Promise<void> {
    const say = (error: unknown): void =>
      this.#options.onTrouble(`what was found could not be remembered: ${describeError(error)}`)
    await this.#write().catch(say)
  }

  /** The checkpoint that was given was found to be the log's: it counts from now on, given again or not. */
  #rememberBegin(): void {
    const checkpoint = this.#state.checkpoint ?? this.#options.begin
    if (checkpoint !== this.#state.checkpoint) this.#state = { ...this.#state, checkpoint }
  }

  /** Evidence is written and the finding known before anybody is told. */
  async #remember(finding: Finding, atMs: number): Promise<KnownFinding> {
    const place = placeOf(finding)
    const key = `${finding.kind}@${place}`
    const before = this.#state.findings.find((known) => known.key === key)
    if (before !== undefined && before.evidence !== null) return before
    const isKept = before !== undefined || this.#state.findings.length < findingsMax
    if (!isKept) this.#options.onTrouble(`more than ${findingsMax} findings: this one is not kept`)
    const evidence = isKept ? await this.#keep(finding, atMs) : null
    const known: KnownFinding = before ? { ...before, evidence } : { ...this.#newFinding(finding, atMs), key, evidence }
    if (isKept) this.#replace(known)
    return known
  }

  #newFinding(finding: Finding, atMs: number): Omit<KnownFinding, 'key' | 'evidence'> {
    return {
      violationType: finding.kind,
      sequenceNumber: 'leafIndex' in finding ? finding.leafIndex + 1 : null,
      ...this.#newTold(describeFinding(finding), atMs),
    }
  }

  #newTold(words: string, firstSeenMs: number): Pick<Told, 'id' | 'detail' | 'firstSeenMs' | 'untold' | 'attempts'> {
    const { hooks, makeId } = this.#options
    const detail = words.slice(0, detailCharactersMax).toWellFormed()
    return { id: makeId(), detail, firstSeenMs, untold: hooks.map(({ name }) => name), attempts: 0 }
  }

  async #keep(finding: Finding, seenAtMs: number): Promise<KnownFinding['evidence']> {
    const { url, vkey, evidenceFolder, onTrouble } = this.#options
    try {
      return await keepEvidence(evidenceFolder, evidenceOf(finding, { seenAtMs, url, vkey }))
    } catch (error) {
      onTrouble(`the evidence could not be kept: ${describeError(error)}`)
      return null
    }
  }

  #replace(known: KnownFinding): void {
    const others = this.#state.findings.filter(({ key }) => key !== known.key)
    this.#state = { ...this.#state, findings: [...others, known] }
  }

  /** What did not arrive is tried again in the next look. */
  async #tellUntold(signal: AbortSignal): Promise<void> {
    for (const known of this.#state.findings) {
      if (known.untold.length > 0 && !signal.aborted) this.#replace({ ...known, ...(await this.#tell(known, signal)) })
    }
    await this.#tellMatches(signal, () => true)
  }

  async #tellMatches(signal: AbortSignal, isWanted: (known: KnownMatch) => boolean): Promise<void> {
    for (const known of this.#state.matches) {
      if (known.untold.length === 0 || signal.aborted || !isWanted(known)) continue
      const told = { ...known, ...(await this.#tell(known, signal)) }
      const matches = this.#state.matches.map((each) => (each.key === known.key ? told : each))
      this.#state = { ...this.#state, matches }
    }
    await this.#writeOrSay()
  }

  async #tell(known: KnownFinding | KnownMatch, signal: AbortSignal): Promise<Pick<Told, 'untold' | 'attempts'>> {
    const { client, hooks, onTrouble } = this.#options
    const wanted = hooks.filter(({ name }) => known.untold.includes(name))
    const alarm = alarmOf(client.origin, known)
    const sent = await (known.attempts === 0 ? sendNow(wanted, alarm, signal) : sendNow(wanted, alarm, signal, []))
    const failed = sent.filter(({ error }) => error !== undefined)
    for (const { hook, error } of failed) onTrouble(`${hook} was not told of ${known.violationType}: ${error}`)
    const attempts = known.attempts + 1
    const isOver = attempts >= attemptsMax && failed.length > 0
    if (isOver) onTrouble(`the alarm of ${known.violationType} is given up after ${attempts} looks`)
    return { attempts, untold: isOver ? [] : failed.map(({ hook }) => hook) }
  }
}

const detailCharactersMax = 1_000

/** Size and root that a look ended with; undefined where it believes nothing yet. */
export function headOf({ check }: Looked): { readonly size: number; readonly root: string } | undefined {
  const at =
    check.kind === 'advanced' ? check.to : check.kind === 'unchanged' || check.kind === 'stale' ? check.at : undefined
  return at && { size: at.checkpoint.size, root: formatBase64(at.checkpoint.root) }
}
