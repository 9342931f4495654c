import { formatBase64 } from '../../../tlog/bytes.ts'
import { describeFinding, evidenceOf, type Finding, placeOf } from '../../client/finding.ts'
import type { LogClient } from '../../client/log-client.ts'
import { type Check, checkOnce, type MonitorOptions } from '../../client/monitor.ts'
import type { SweptEntry } from '../../client/sweep-entries.ts'
import type { Alarm, Hook } from '../../ops/hooks/hook.ts'
import type { GatheredMatches } from '../../rules/gather-matches.ts'
import { findingOfMatches } from '../../rules/gather-matches.ts'
import { describeError } from '../describe-error.ts'
import { alarmOf, closedAlarmOf } from './alarm.ts'
import { keepEvidence } from './evidence-file.ts'
import type { RuleWatch } from './rule-watch.ts'
import { type KnownFinding, type MonitorState, type Told, writeState } from './state.ts'
import { Telling, unsettled } from './telling.ts'

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
  readonly readsEntries: boolean
  /** Try the entries that were read and checked, in order. */
  readonly rules: RuleWatch | undefined
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
  /** Whether entries were asked for: they are mostly for auditors. */
  readonly readsEntries: boolean
  readonly state: MonitorState
}

/** Of more places one only counts. A log that does so much wrong is known to do so. */
const findingsMax = 100
/** The oldest are forgotten: what belongs to them is told again. */
const matchesMax = 1_000
/** While a sweep goes on. */
const writeEveryMs = 5_000

/** Looks at a log from outside, and remembers in a file what it believed and what it found. */
export class LogMonitor {
  readonly #options: LogMonitorOptions
  readonly #telling: Telling
  #state: MonitorState
  #written: MonitorState
  #writtenMs = Number.NEGATIVE_INFINITY

  constructor(state: MonitorState, options: LogMonitorOptions) {
    this.#options = options
    this.#telling = new Telling(options)
    // Rules that begin anew tell all.
    this.#state = options.rules?.position === 0 ? { ...state, matchedSize: 0 } : state
    this.#written = state
  }

  /** Rejects where the state cannot be kept, and with the reason of `signal`. */
  async look(signal: AbortSignal): Promise<Looked> {
    const { nowMs } = this.#options
    try {
      const atMs = nowMs()
      this.#telling.begin()
      const check = await this.#check(signal)
      if (check.kind !== 'unchecked') this.#rememberBegin()
      const finding = check.kind === 'violated' ? await this.#remember(check.finding, atMs) : undefined
      // Whoever is to be told of a violation is told, whatever the disk says.
      await (finding === undefined ? this.#write() : this.#orSay(this.#write()))
      await this.#tellUntold(signal)
      const { url, readsEntries } = this.#options
      return { url, check, atMs, finding, readsEntries, state: this.#state }
    } catch (error) {
      // What a sweep has done is not done again.
      await this.#orSay(this.#write())
      throw error
    }
  }

  async #check(signal: AbortSignal): Promise<Check> {
    const { client, begin, readsTiles, readsEntries } = this.#options
    const options = this.#monitorOptions(signal)
    const { tiles, entries, ...alone } = options
    const sweeps = { ...(readsTiles && tiles ? { tiles } : {}), ...(readsEntries && entries ? { entries } : {}) }
    const isFirst = this.#state.checkpoint === undefined && begin === undefined && Object.keys(sweeps).length > 0
    if (!isFirst) return checkOnce(client, { ...alone, ...sweeps }, signal)
    // It is believed anyhow, and a sweep over all of a large log goes on from here when it is interrupted.
    const first = await checkOnce(client, alone, signal)
    if (first.kind !== 'advanced' && first.kind !== 'stale') return first
    const check = await checkOnce(client, { ...alone, ...sweeps }, signal)
    return check.kind === 'unchanged' ? first : check
  }

  #monitorOptions(signal: AbortSignal): MonitorOptions {
    const { begin, sth, rules } = this.#options
    return {
      load: async () => this.#state.checkpoint ?? begin,
      save: async (checkpoint) => {
        this.#state = { ...this.#state, checkpoint }
        await this.#write()
      },
      tiles: { load: async () => this.#state.tilesSize, save: (tilesSize) => this.#sweptTo({ tilesSize }) },
      entries: {
        // Rules may have to see again what was read.
        load: async () => Math.min(this.#state.entriesSize, rules?.position ?? Number.POSITIVE_INFINITY),
        save: (entriesSize) => this.#sweptTo({ entriesSize }),
        take: (entries) => this.#take(entries, signal),
      },
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
    const { tilesSize, entriesSize } = this.#state
    const state = { ...this.#state, ...sizes }
    state.entriesSize = Math.max(entriesSize, state.entriesSize)
    if (state.tilesSize !== tilesSize || state.entriesSize !== entriesSize) this.#state = state
    if (performance.now() - this.#writtenMs > writeEveryMs) await this.#write()
  }

  /** A match is remembered before hooks are told of it. */
  async #take(entries: readonly SweptEntry[], signal: AbortSignal): Promise<void> {
    const { rules, onMatch } = this.#options
    if (rules === undefined) return
    const matches = rules.take(entries, this.#state.matchedSize)
    for (const gathered of matches) {
      onMatch(gathered)
      this.#rememberMatch(gathered)
    }
    this.#state = { ...this.#state, matchedSize: Math.max(this.#state.matchedSize, rules.position) }
    if (matches.length === 0) return
    await this.#orSay(this.#writeState())
    await this.#tellMatches(signal)
    await this.#orSay(this.#writeState())
  }

  #rememberMatch(gathered: GatheredMatches): void {
    const { place, detail, ...finding } = findingOfMatches(gathered)
    const key = `${finding.violationType}@${place}`
    if (this.#state.matches.some((known) => known.key === key)) return
    const known = { ...finding, key, ...this.#newTold(detail, this.#options.nowMs()) }
    this.#state = { ...this.#state, matches: [...this.#state.matches, known].slice(-matchesMax) }
  }

  async #write(): Promise<void> {
    await this.#writeState()
    await this.#options.rules?.save()
    this.#writtenMs = performance.now()
  }

  async #writeState(): Promise<void> {
    if (this.#state === this.#written) return
    const state = this.#state
    await writeState(this.#options.stateFile, state)
    this.#written = state
  }

  async #orSay(written: Promise<void>): Promise<void> {
    const say = (error: unknown): void =>
      this.#options.onTrouble(`what was found could not be remembered: ${describeError(error)}`)
    await written.catch(say)
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

  #newTold(words: string, firstSeenMs: number): Omit<Told, 'key' | 'violationType' | 'sequenceNumber'> {
    const { hooks, makeId } = this.#options
    const detail = words.slice(0, detailCharactersMax).toWellFormed()
    const untold = hooks.map(({ name }) => name)
    return { id: makeId(), detail, firstSeenMs, told: [], untold, attempts: 0, triedMs: 0 }
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

  /** What does not arrive is tried again in a later look. */
  async #tellUntold(signal: AbortSignal): Promise<void> {
    const { origin } = this.#options.client
    const tell = <T extends Told>(all: readonly T[], toAlarm: (origin: string, known: T) => Alarm) =>
      this.#telling.tellEach(all, (known) => toAlarm(origin, known), signal)
    this.#remembers({ findings: await tell(this.#state.findings, alarmOf) })
    await this.#tellMatches(signal)
    this.#remembers({ closings: unsettled(await tell(this.#state.closings, closedAlarmOf)) })
    await this.#orSay(this.#writeState())
  }

  async #tellMatches(signal: AbortSignal): Promise<void> {
    const { origin } = this.#options.client
    this.#remembers({
      matches: await this.#telling.tellEach(this.#state.matches, (known) => alarmOf(origin, known), signal),
    })
  }

  #remembers(list: Partial<Pick<MonitorState, 'findings' | 'matches' | 'closings'>>): void {
    const state = { ...this.#state, ...list }
    const { findings, matches, closings } = this.#state
    const isSame = state.findings === findings && state.matches === matches && state.closings === closings
    if (!isSame) this.#state = state
  }
}

const detailCharactersMax = 1_000

/** Size and root that a look ended with; undefined where it believes nothing yet. */
export function headOf({ check }: Looked): { readonly size: number; readonly root: string } | undefined {
  const at =
    check.kind === 'advanced' ? check.to : check.kind === 'unchanged' || check.kind === 'stale' ? check.at : undefined
  return at && { size: at.checkpoint.size, root: formatBase64(at.checkpoint.root) }
}
