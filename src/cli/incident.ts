import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { type Config, readConfig } from '../config.ts'
import { readContained } from '../incident/containment-record.ts'
import { alarmJson, incidentJson, type ShownAlarm, type ShownIncident } from '../incident/incident-json.ts'
import { closeReasonMax, IncidentOffice, IncidentRefusal, isCloseReason } from '../incident/incident-office.ts'
import { makeId } from '../ingest/make-id.ts'
import { schemaNames } from '../instance.ts'
import { createSignAct } from '../log/own-act-entry.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import type { OpenedIncident } from '../store/opened-incidents.ts'
import {
  type Command,
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  type Parsed,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { describeError } from './describe-error.ts'
import { explainStart } from './explain-start.ts'
import { releaseHolds } from './incident/release.ts'
import { tryHooks } from './incident/try-hooks.ts'
import { localIdentity, openLocalKeys, withLocalState } from './local-state.ts'
import { forgetIncident, type OwnLog } from './verify/state.ts'

export const incidentCommand: Command = {
  summary: 'list, show and close incidents; alarms that could not be delivered',
  synopsis:
    'list [--all] | show ID | close ID --reason TEXT | dead-letters | retry ID|--all | release | test  [--json]',
  help: `Asks no server: works with the keys of the data folder and the database of the settings, which are those of
\`serve\`. The server may run.

  list               those that are open; --all: closed ones too
  show ID            one of them: what was found where, how often, its evidence, and which hooks know of it, and
                     what the server did about it on its own
  close ID           for good; hooks that were told of its opening are told of this, and the log has an entry of it.
                     The verifier forgets what it was about: what it finds there again opens another one, of the
                     newest million entries with the next probe
    --reason TEXT    what was done about it, 1 to 1,000 characters
  dead-letters       alarms that were given up, the 1,000 oldest, with the last error of each
  retry ID           has a dead letter tried again by the server; --all: every one
  test               tells every hook of the settings of an incident TEST that is none, and that it is over
  release            lets the log go on where containment (DENDROLOG_CONTAINMENT) stopped it
  --json             list: {"incidents"}; show: {"incident", "alarms"}; close: {"incident"}; dead-letters: {"alarms"};
                     retry: {"retried"}; release: {"released"}; test: {"hooks"}; refused: {"error", "code"}

Exit status: 0 done, 2 not done.`,
  run: explainStart(runIncident),
}

const options = {
  all: { type: 'boolean' },
  reason: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']
type Verb = {
  readonly place: 'wanted' | 'none' | 'this or --all'
  /** Options that it takes beside --json. */
  readonly options: readonly (keyof Values)[]
  readonly run: (signal: AbortSignal, place: string | undefined, values: Values) => Promise<ExitStatus>
}

const verbs: Readonly<Record<string, Verb>> = {
  list: { place: 'none', options: ['all'], run: inOffice(list) },
  show: { place: 'wanted', options: [], run: inOffice(show) },
  close: { place: 'wanted', options: ['reason'], run: inOffice(close) },
  'dead-letters': { place: 'none', options: [], run: inOffice(listDeadLetters) },
  retry: { place: 'this or --all', options: ['all'], run: inOffice(retry) },
  release: { place: 'none', options: [], run: inOffice(release) },
  test: { place: 'none', options: [], run: (signal, _, { json }) => tryHooks(readConfig(), json, signal) },
}
const listedAtOnce = 500
const deadLettersMax = 1_000

async function runIncident(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 2)
  const [name = '', text] = positionals
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (verb === undefined) throw new UsageError(`want ${Object.keys(verbs).join(', ')}`)
  const stray = Object.keys(values).find((option) => ![...verb.options, 'json'].includes(option as keyof Values))
  if (stray !== undefined) throw new UsageError(`${name} takes no --${stray}`)
  checkPlace(name, verb, text, values)
  const place = text === undefined ? undefined : readId(text)
  if (name === 'close') checkReason(values)
  try {
    return await verb.run(signal, place, values)
  } catch (error) {
    if (!(error instanceof IncidentRefusal)) throw error
    process.stderr.write(`dendrolog incident: ${visibleText(error.message)}\n`)
    if (values.json) printJson({ error: error.message, code: error.code })
    return exitCouldNotCheck
  }
}

function checkPlace(name: string, { place }: Verb, text: string | undefined, { all }: Values): void {
  const isFit =
    place === 'this or --all' ? (text === undefined) === (all === true) : (place === 'none') === (text === undefined)
  if (isFit) return
  throw new UsageError(`${name}: want ${{ wanted: 'an id', none: 'no id', 'this or --all': 'an id, or --all' }[place]}`)
}

function checkReason({ reason }: Values): void {
  if (reason === undefined || reason.trim() === '') throw new UsageError('close: want --reason TEXT')
  if (!isCloseReason(reason)) throw new UsageError(`--reason: want ${closeReasonMax} characters at most`)
}

function readId(text: string): string {
  try {
    return formatUuid(parseUuid(text))
  } catch {
    throw new UsageError(`got ${JSON.stringify(text)}, want the id of an incident or dead letter, as \`list\` shows it`)
  }
}

type OfficeWork = (office: IncidentOffice, place: string | undefined, values: Values) => Promise<void>

function inOffice(work: OfficeWork): Verb['run'] {
  return async (signal, place, values) => {
    await withOffice(signal, (office) => work(office, place, values))
    return exitHolds
  }
}

async function withOffice(signal: AbortSignal, work: (office: IncidentOffice) => Promise<void>): Promise<void> {
  const config = readConfig()
  const { signing, sealKey } = await openLocalKeys(config)
  const log = { origin: signing.note.name, sealKey }
  const signAct = createSignAct({ signer: signing.note, makeId, nowMs: Date.now, hash: nativeSha256 })
  await withLocalState(config, signal, (query) => {
    const schema = schemaNames(config)
    // Whoever is told of a closing is whoever was told of the opening: no hooks are asked for here.
    return work(
      new IncidentOffice({
        ...{ query, schema, signAct, hooks: [], makeId: () => formatUuid(makeId()), nowMs: Date.now },
        onClosed: ({ key }) => forgetClosed(config, log, key),
      }),
    )
  })
}

/** The incident is closed, whatever becomes of this. */
async function forgetClosed(config: Config, log: OwnLog, key: string): Promise<void> {
  try {
    await forgetIncident(config, log, key)
  } catch (error) {
    process.stderr.write(`dendrolog incident: the verifier was not told: ${visibleText(describeError(error))}\n`)
  }
}

async function list(office: IncidentOffice, _: string | undefined, { all, json }: Values): Promise<void> {
  const incidents = (await readAll(office, all === true ? 'all' : 'open')).map(incidentJson)
  if (json) return printJson({ incidents })
  if (incidents.length === 0) return printLine(all === true ? 'no incidents' : 'no open incidents')
  printTable([['ID', 'VIOLATION', 'SEQUENCE', 'COUNT', 'OPENED', 'LAST SEEN', 'STATE'], ...incidents.map(cellsOf)])
}

async function readAll(office: IncidentOffice, state: 'open' | 'all'): Promise<readonly OpenedIncident[]> {
  const incidents: OpenedIncident[] = []
  for (;;) {
    const page = await office.list(state, incidents.at(-1)?.id, listedAtOnce)
    incidents.push(...page)
    if (page.length < listedAtOnce) return incidents
  }
}

function cellsOf({ id, violationType, sequenceNumber, count, openedAt, lastSeen, state }: ShownIncident): string[] {
  return [
    id,
    violationType,
    String(sequenceNumber ?? '-'),
    String(count),
    shortTime(openedAt),
    shortTime(lastSeen),
    state,
  ]
}

async function show(office: IncidentOffice, place = '', { json }: Values): Promise<void> {
  const incident = incidentJson(await office.read(place))
  const alarms = (await office.alarmsOf(place)).map(alarmJson)
  if (json) return printJson({ incident, alarms })
  const { id, violationType, sequenceNumber, detail, evidence, count, firstSeen, lastSeen, ...rest } = incident
  const closing = rest.closedAt === null ? 'no' : `${shortTime(rest.closedAt)} by ${rest.closedBy}: ${rest.closeReason}`
  const contained = await describeContainment(incident)
  const lines: readonly (readonly [string, string])[] = [
    ['incident', id],
    ['violation', `${violationType}${sequenceNumber === null ? '' : ` at sequence number ${sequenceNumber}`}`],
    ['detail', detail],
    ['found', `${count} times, from ${shortTime(firstSeen)} to ${shortTime(lastSeen)}`],
    ['opened', `${shortTime(rest.openedAt)} by ${rest.openedBy}`],
    ['closed', closing],
    ['evidence', JSON.stringify(evidence)],
    ...contained.map((each) => ['contained', each] as const),
    ...alarms.map((alarm) => ['told', describeAlarm(alarm)] as const),
  ]
  for (const [name, value] of lines) printLine(`${name.padEnd(10)}${visibleText(value)}`)
}

/** What the data folder says where the database does not, or not yet. */
async function describeContainment({ id, containment }: ShownIncident): Promise<readonly string[]> {
  const done = containment ?? (await readContained(readConfig().dataDir, id)) ?? []
  return done.map(({ measure, isDone, detail }) => `${measure}: ${isDone ? '' : 'NOT DONE: '}${detail}`)
}

function describeAlarm({ hook, news, state, attempts, lastError }: ShownAlarm): string {
  const error = lastError === null ? '' : `: ${lastError}`
  return `${hook}, that it was ${news}: ${state} after ${attempts} attempts${error}`
}

async function close(office: IncidentOffice, place = '', { reason = '', json }: Values): Promise<void> {
  const incident = incidentJson(await office.close(place, localIdentity(), reason))
  if (json) return printJson({ incident })
  const { id, violationType, closedAt, closedBy } = incident
  printLine(
    `incident ${id} (${violationType}) was closed at ${shortTime(closedAt ?? '')} by ${visibleText(closedBy ?? '')}`,
  )
}

async function listDeadLetters(office: IncidentOffice, _: string | undefined, { json }: Values): Promise<void> {
  const alarms = (await office.deadLetters(deadLettersMax)).map(alarmJson)
  if (json) return printJson({ alarms })
  if (alarms.length === 0) return printLine('no dead letters')
  const rows = alarms.map(({ id, incident, hook, news, attempts, settledAt, lastError }) => {
    return [id, incident, hook, news, String(attempts), shortTime(settledAt ?? ''), visibleText(lastError ?? '')]
  })
  printTable([['ID', 'INCIDENT', 'HOOK', 'NEWS', 'ATTEMPTS', 'GIVEN UP', 'LAST ERROR'], ...rows])
}

async function retry(office: IncidentOffice, place: string | undefined, { json }: Values): Promise<void> {
  const retried = await office.retry(place === undefined ? 'all' : [place])
  if (json) return printJson({ retried })
  printLine(`${retried} alarms are tried again, by the server that has their hooks`)
}

async function release(office: IncidentOffice, _: string | undefined, { json }: Values): Promise<void> {
  await releaseHolds(readConfig(), office, json)
}

/** To the second. */
function shortTime(time: string): string {
  return time.replace(/\.\d+/, '')
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? []
  for (const row of rows) {
    const cells = row.map((cell, i) => cell.padEnd(widths[i] ?? 0))
    printLine(cells.join('  ').trimEnd())
  }
}
