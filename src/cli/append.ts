import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { readSetting } from '../config.ts'
import { hashTail, type Input, openInput, SentHash } from './append/input.ts'
import { Progress } from './append/progress.ts'
import { runAppend } from './append/run.ts'
import { type LogAnswer, readLog, type Target } from './append/server.ts'
import { type AppendState, createState, noCounts, type RefusedLine, readState, tidyState } from './append/state.ts'
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
import { openPlace } from './server-fetch.ts'
import { readTokenFile } from './token-file.ts'

export const appendCommand: Command = {
  summary: 'append the records of an NDJSON file or of standard input',
  synopsis: '[FILE|-] [--url URL] [--token-file FILE] [OPTIONS]',
  help: `Sends records, one JSON object a line, to a server, in the order of the input. Records without an \`id\` get one
before they are sent. Interrupted in any way and started again with the same FILE, it goes on where it was, and each
record becomes one entry: FILE.dendrolog-state remembers how far it came and what ids are made of. It stays when all is
done; lines that are added to FILE later are appended by the next run, and where anything in the part that was sent has
changed (its SHA-256 is kept) nothing is sent and the status is 2. Without the state FILE is another one: records without
an \`id\` get new ones, and where they are entries already they become entries a second time.
Standard input cannot be read again: what was interrupted there cannot be resumed.

  --url URL           the server (default: the one of the settings here: PORT, and https with DENDROLOG_TLS_CERT)
  --ca FILE           PEM certificate of the CA of an https server, where the system does not know it
  --token-file FILE   a file with the token of a writer, or a tokens.json (default: that of the data folder)
  --state FILE        in place of FILE.dendrolog-state
  --batch N           records of a request, at most (default 1000)
  --gzip              compress requests
  --retry-for SECONDS so long a request is tried again on 429, 503 and network errors (default 300, and 10 as long as
                      nothing has answered at all)
  --json              the result as JSON; refusedRecords lists the refused ones, of earlier runs too (1000 of those)

Exit status: 0 all records are entries, 2 some were refused, which the last line on standard error counts, or it did not
come to the end: run it again.`,
  run: append,
}

const options = {
  url: { type: 'string' },
  ca: { type: 'string' },
  'token-file': { type: 'string' },
  state: { type: 'string' },
  batch: { type: 'string', default: '1000' },
  gzip: { type: 'boolean', default: false },
  'retry-for': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/** Long enough for a server that is being started again, and short enough to be waited for. */
const unreachedDefaultMs = 10_000
const batchBytesMax = 4 * 1_048_576
/** An id that is added, and the newline. */
const addedBytesMax = 64

async function append(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 1)
  const input = await openInput(positionals[0] ?? '-')
  try {
    return await appendInput(input, values, signal)
  } catch (error) {
    if (signal.aborted) throw new Error('interrupted; the same command goes on from here, where FILE is a file')
    throw error
  } finally {
    await input.close()
  }
}

type Values = Parsed<typeof options>['values']

async function appendInput(input: Input, values: Values, signal: AbortSignal): Promise<ExitStatus> {
  const batch = readCount('--batch', values.batch, 65_536)
  const notes = new Notes(input, values.json)
  const target = await openTarget(values, (reason, pauseMs) =>
    notes.say(`${reason}; trying again in ${(pauseMs / 1_000).toFixed(1)} s`),
  )
  const log = await readLog(target, signal)
  const statePath = input.file === undefined ? undefined : (values.state ?? `${input.name}.dendrolog-state`)
  const sent = input.file === undefined ? undefined : new SentHash(input.file)
  const state = await openState(input, sent, statePath, log)
  if (statePath === undefined) notes.say(`${input.name} cannot be resumed if this run is interrupted`)
  notes.begin(state)
  const end = await runAppend(
    {
      ...{ input, target, state, sent, statePath },
      limits: { records: Math.min(batch, log.records), bytes: Math.min(batchBytesMax, log.bodyBytes) },
      lineBytesMax: log.bodyBytes - addedBytesMax,
      onRefused: (refused) => notes.refuse(refused),
      onProgress: (now) => notes.advance(now),
    },
    signal,
  )
  if (statePath !== undefined) await tidyState(statePath)
  return notes.finish(end)
}

async function openTarget(values: Values, onWait: Target['onWait']): Promise<Target> {
  const place = await openPlace(values.url, values.ca)
  const given = values['retry-for']
  const retryMs = 1_000 * readCount('--retry-for', given ?? '300', 604_800)
  const unreachedMs = given === undefined ? unreachedDefaultMs : retryMs
  const tokenFile = values['token-file'] ?? join(readSetting('DENDROLOG_DATA_DIR'), 'tokens.json')
  const token = await readTokenFile(tokenFile, 'writer')
  return { ...place, token, isGzipped: values.gzip, retryMs, unreachedMs, onWait }
}

function readCount(name: string, text: string, max: number): number {
  const n = Number(text)
  if (!Number.isSafeInteger(n) || String(n) !== text || n < 1 || n > max) {
    throw new UsageError(`${name}: want a number of 1 to ${max}`)
  }
  return n
}

/** The state of earlier runs on this input, or that of a first one, which is durable when this resolves. */
async function openState(
  input: Input,
  sent: SentHash | undefined,
  path: string | undefined,
  { origin }: LogAnswer,
): Promise<AppendState> {
  const run = { secret: randomBytes(16), startedMs: Date.now() }
  const place = { offset: 0, line: 0 }
  const fresh: AppendState = { origin, run, place, sent: '', counts: noCounts, refused: [] }
  if (path === undefined || input.file === undefined || sent === undefined) return fresh
  const first = { ...fresh, sent: (await sent.at(0)) ?? '' }
  const found = await readState(path)
  if (found === undefined && (await createState(path, first))) return first
  const state = found ?? (await readState(path)) ?? first
  if (state.origin !== origin) {
    throw new Error(`${path}: ${input.name} was being appended to ${state.origin}, this is ${origin}; see --state`)
  }
  if (!(await isSame(input.file, sent, state))) throw new Error(changedInput(input.name, path, state.place.line))
  return state
}

async function isSame(file: FileHandle, sentNow: SentHash, { sent, place }: AppendState): Promise<boolean> {
  const hash = await sentNow.at(place.offset)
  if (typeof sent === 'string') return hash === sent
  return hash !== undefined && (await hashTail(file, place.offset)) === sent.tail
}

function changedInput(name: string, path: string, line: number): string {
  return (
    `${name}: is not the file that ${path} is about: what was appended of that, up to line ${line}, has changed. ` +
    'Restore it, and put new records at its end. For another file name another --state; where this is the same file, ' +
    'appending it with another state appends records without an id, which are entries already, a second time'
  )
}

/** Refused records that a result in JSON lists; more are counted. */
const refusedListMax = 10_000

/** What a run tells: notes and refused records on standard error as they come, the result on standard output. */
class Notes {
  readonly #input: Input
  readonly #asJson: boolean
  readonly #refused: RefusedLine[] = []
  #progress: Progress | undefined
  #before = 0

  constructor(input: Input, asJson: boolean) {
    this.#input = input
    this.#asJson = asJson
  }

  begin({ place, counts, refused }: AppendState): void {
    this.#before = total(counts)
    for (const each of refused) this.refuse(each)
    if (place.offset > 0) this.say(`going on behind line ${place.line}, where an earlier run came to`)
    if (!this.#asJson) this.#progress = new Progress(process.stderr, this.#input.size, place.offset)
  }

  say(note: string): void {
    this.#progress?.clear()
    process.stderr.write(`dendrolog append: ${visibleText(note)}\n`)
  }

  refuse(refused: RefusedLine): void {
    if (this.#asJson && this.#refused.length < refusedListMax) this.#refused.push(refused)
    if (this.#asJson) return
    const { line, code, pointer, detail } = refused
    this.say(`line ${line}: refused: ${code}${pointer === undefined ? '' : ` at ${pointer || '""'}`}: ${detail}`)
  }

  advance({ place, counts }: AppendState): void {
    this.#progress?.update(place.offset, total(counts) - this.#before)
  }

  finish({ origin, counts, place }: AppendState): ExitStatus {
    this.#progress?.clear()
    const status = counts.refused > 0 ? exitCouldNotCheck : exitHolds
    if (counts.refused > 0) this.say(`${counts.refused} records were refused and are no entries`)
    if (this.#asJson) {
      printJson({ origin, lines: place.line, ...counts, refusedRecords: this.#refused })
      return status
    }
    const { accepted, duplicates, refused, firstIndex, lastIndex } = counts
    const where = firstIndex === null ? '' : `, at indexes ${firstIndex} to ${lastIndex}`
    const runs = this.#before > 0 ? ', with earlier runs' : ''
    printLine(
      `${this.#input.name} to ${origin}: ${accepted} accepted, ${duplicates} duplicates, ${refused} refused${where}${runs}`,
    )
    return status
  }
}

function total({ accepted, duplicates, refused }: AppendState['counts']): number {
  return accepted + duplicates + refused
}
