import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { noteBytesMax } from '../../tlog/note.ts'
import { formatVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { LogClient } from '../client/log-client.ts'
import { findUnknownSettings, readHookConfig } from '../config.ts'
import { makeId } from '../ingest/make-id.ts'
import { readGivenFile } from '../ops/given-file.ts'
import { Heartbeat } from '../ops/heartbeat.ts'
import { openHooks } from '../ops/hooks/open-hooks.ts'
import {
  type Command,
  type ExitStatus,
  exitCouldNotCheck,
  type Parsed,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { describeError, describeUnknown } from './describe-error.ts'
import { readDuration } from './duration.ts'
import { beatOf, describeLooked, lookedJson, printMatch, statusOf } from './monitor/describe.ts'
import { forget } from './monitor/forget.ts'
import { LogMonitor } from './monitor/log-monitor.ts'
import { RuleWatch } from './monitor/rule-watch.ts'
import { defaultStateFile, emptyState, lockState, readState, tidyState } from './monitor/state.ts'
import { openFetch, readServerUrl } from './server-fetch.ts'
import { readTokenFile } from './token-file.ts'
import { readSthKey, readVkey, requireVkey, vkeyOptions } from './verifier-key.ts'

export const monitorCommand: Command = {
  summary: 'watch a log from outside, by what it signs and serves',
  synopsis: 'URL (--vkey VKEY | --vkey-file FILE) [--every TIME | --watch | --forget] [OPTIONS]',
  help: `Looks at a log as anybody can, and believes nothing but its keys. The newest checkpoint must be signed, and extend the
last one that was seen, which a state file remembers. Run it where the log's operator cannot reach it.

  --vkey VKEY        the log's verifier key; take it from where you trust, not from the server
  --vkey-file FILE   a file with it
  --state FILE       what is remembered (default: a file in this folder, named after log and key); one monitor at a time
  --checkpoint FILE  the checkpoint to begin with; without it the first one that is shown is believed
  --sth-key KEY      the log's key of STHs (base64 SPKI, as \`keys export --format spki\` prints it): the RFC 6962 tree head
                     must be signed with it too. Without it the STH is compared all the same, and its time is the
                     server's word
  --max-age TIME     an STH that is older vouches for nothing: STALE (default 5m; an idle log signs once a minute)
  --no-sth           does not ask for the STH, of logs that have none; how old a checkpoint is, is not known then
  --tiles            reads all tiles, each once, and computes the root from those of leaf hashes
  --entries          reads all entries with their payloads, each once: leaves against tiles, their numbers, times, payload
                     and chain hashes
  --rules FILE       tries watch rules (\`rules check\`) on the entries, which are read for that as with --entries. A match
                     is no violation, and changes no exit status: it is a line, with --json {"status": "matched", "at",
                     "origin", "rule", "severity", "because", "group", "count", "entry", "detail"}, and hooks are told
                     once of a rule and its group, until --forget. Of a log of old all entries are tried, read before or
                     not. What rules remember is in STATE.rules
  --token-file FILE  a file with the token of an auditor, or a tokens.json: entries are mostly for auditors
  --ca FILE          PEM certificate of the CA of an https server, where the system does not know it

  (nothing)          one look, for cron
  --every TIME       a look every 30s, 10m or 6h, until SIGTERM; --watch is --every 5s
  --forget           forgets what was found and what matched, when it is settled; hooks are told so, now or with the next
                     looks; evidence stays
  --evidence DIR     where evidence of violations is kept (default: STATE.evidence), a file each that \`check\` reads.
                     Nothing there is written over
  --json             a line for each look: {"status", "at", "origin", "isSecure", "size", "root", "fromSize",
                     "sthTimestampMs", "tilesSize", "entriesSize", "violationType", "evidence", "code", "detail",
                     "findings"}; status is advanced, unchanged, stale, violated or unchecked

Of a violation the state does not move: the next look finds it again, and it is one until --forget. It is told once, to
the hooks of the settings (DENDROLOG_WEBHOOK_URL, DENDROLOG_PAGERDUTY_KEY, DENDROLOG_INCIDENT_COMMAND); each look is told
to DENDROLOG_HEARTBEAT_URL. FORKED and the like are the log's own signatures against each other. ROLLBACK, and what is
served and does not fit the signed tree (TILE_MISMATCH, LEAF_MISMATCH, PAYLOAD_CORRUPT, each asked for twice), is what
you saw. STALE is no violation: the log stands still, or somebody keeps what is new from you. Nothing that it signed is
wrong, and nothing says that it is well.

Exit status: 0 in order, 1 a violation was found, now or before, 2 it could not be found out (no answer, STALE, a state
of another log).`,
  // The last ping is waited for.
  stopMs: 7_000,
  run: runMonitor,
}

const options = {
  ...vkeyOptions,
  state: { type: 'string' },
  checkpoint: { type: 'string' },
  'sth-key': { type: 'string' },
  'max-age': { type: 'string' },
  'no-sth': { type: 'boolean', default: false },
  tiles: { type: 'boolean', default: false },
  entries: { type: 'boolean', default: false },
  rules: { type: 'string' },
  'token-file': { type: 'string' },
  ca: { type: 'string' },
  every: { type: 'string' },
  watch: { type: 'boolean', default: false },
  forget: { type: 'boolean', default: false },
  evidence: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']

const watchMs = 5_000
const maxAgeDefault = '5m'
/** The next look comes soon: of one a minute is too long. */
const retry = { attemptsMax: 3, pauseMs: 250, pauseMsMax: 5_000 }

async function runMonitor(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 1)
  const url = readUrl(positionals[0])
  const everyMs = readModes(values)
  const sth = readSthOptions(values)
  for (const unknown of findUnknownSettings()) say(`warning: ${describeUnknown(unknown)}`)
  const key = await readVkey(values)
  const stateFile = values.state ?? defaultStateFile(key, '.')
  const unlock = await lockState(stateFile)
  try {
    await tidyState(stateFile)
    if (values.forget) return await forget({ stateFile, origin: key.name, isJson: values.json, onTrouble: say }, signal)
    const { monitor, heartbeat } = await openMonitor(url, key, stateFile, sth, values)
    try {
      return await lookEvery(everyMs, monitor, heartbeat, values.json, signal)
    } finally {
      await heartbeat?.close()
    }
  } finally {
    await unlock()
  }
}

async function lookEvery(
  everyMs: number | undefined,
  monitor: LogMonitor,
  heartbeat: Heartbeat | undefined,
  isJson: boolean,
  signal: AbortSignal,
): Promise<ExitStatus> {
  let status: ExitStatus = exitCouldNotCheck
  do {
    heartbeat?.start()
    try {
      const looked = await monitor.look(signal)
      status = statusOf(looked)
      if (isJson) printJson(lookedJson(looked))
      else printLine(everyMs === undefined ? describeLooked(looked) : `${isoOf(looked.atMs)} ${describeLooked(looked)}`)
      const { kind, words } = beatOf(looked)
      heartbeat?.[kind](words)
    } catch (error) {
      if (signal.aborted) break
      heartbeat?.fail(`could not check: ${describeError(error)}`)
      if (everyMs === undefined) throw error
      status = exitCouldNotCheck
      say(`could not check: ${describeError(error)}`)
      if (isJson) printJson({ error: describeError(error) })
    }
    if (everyMs !== undefined) await sleep(everyMs, undefined, { signal }).catch(() => {})
  } while (everyMs !== undefined && !signal.aborted)
  return status
}

async function openMonitor(
  url: URL,
  key: VerifierKey,
  stateFile: string,
  sth: SthOptions,
  values: Values,
): Promise<{ readonly monitor: LogMonitor; readonly heartbeat: Heartbeat | undefined }> {
  const { heartbeat, hooks } = readHookConfig()
  const vkey = formatVkey(key)
  const { 'token-file': tokenFile } = values
  const token = tokenFile === undefined ? {} : { token: await readTokenFile(tokenFile, 'auditor') }
  const client = new LogClient({ url: url.href, vkey, retry, fetch: await openFetch(values.ca), ...token })
  const state = (await readState(stateFile, key.name)) ?? emptyState(key.name)
  const monitor = new LogMonitor(state, {
    ...{ client, vkey, stateFile, sth, url: url.href, readsTiles: values.tiles },
    begin: values.checkpoint === undefined ? undefined : await readNote(values.checkpoint),
    evidenceFolder: values.evidence ?? `${resolve(stateFile)}.evidence`,
    hooks: await openHooks(hooks, Date.now),
    readsEntries: values.entries || values.rules !== undefined,
    rules: values.rules === undefined ? undefined : await RuleWatch.open(values.rules, stateFile, key.name, say),
    onMatch: (matches) => printMatch(matches, key.name, values.json),
    makeId: () => formatUuid(makeId()),
    nowMs: Date.now,
    onTrouble: say,
  })
  const beat = heartbeat && {
    ...{ url: new URL(heartbeat.url), style: heartbeat.style, onSent: () => {} },
    onFailed: (_: string, reason: string) => say(`the dead-man service could not be told: ${reason}`),
  }
  return { monitor, heartbeat: beat && new Heartbeat(beat) }
}

function readUrl(text: string | undefined): URL {
  if (text === undefined) throw new UsageError('want the URL of a log')
  const url = readServerUrl(text, 'URL')
  if (url.username !== '' || url.password !== '') throw new UsageError('URL: want one without user and password')
  // Requests do not have these either.
  url.search = ''
  url.hash = ''
  return url
}

/** Milliseconds between looks; undefined: one look. */
function readModes(values: Values): number | undefined {
  requireVkey(values)
  const { every, watch, forget, entries, rules, 'token-file': tokenFile } = values
  if ([every !== undefined, watch, forget].filter((isSet) => isSet).length > 1) {
    throw new UsageError('want one of --every, --watch and --forget')
  }
  if (tokenFile !== undefined && !entries && rules === undefined) {
    throw new UsageError('--token-file is for --entries and --rules')
  }
  if (every !== undefined) return readDuration('--every', every)
  return watch ? watchMs : undefined
}

type SthOptions = { readonly publicKey?: Uint8Array; readonly maxAgeMs: number } | undefined

function readSthOptions({ 'no-sth': isNone, 'sth-key': key, 'max-age': age }: Values): SthOptions {
  if (isNone && (key !== undefined || age !== undefined)) {
    throw new UsageError('--no-sth: then there is nothing for --sth-key and --max-age')
  }
  if (isNone) return undefined
  const maxAgeMs = readDuration('--max-age', age ?? maxAgeDefault)
  return key === undefined ? { maxAgeMs } : { maxAgeMs, publicKey: readSthKey(key) }
}

async function readNote(file: string): Promise<string> {
  const bytes = await readGivenFile(file, noteBytesMax).catch((cause: Error) => {
    throw new Error(`--checkpoint ${file}: cannot be read: ${describeError(cause)}`, { cause })
  })
  return bytes.toString('utf8')
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}

function say(reason: string): void {
  process.stderr.write(`dendrolog monitor: ${visibleText(reason)}\n`)
}
