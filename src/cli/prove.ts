import { writeFile } from 'node:fs/promises'
import { encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { parseDecimal } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { formatVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { formatProofFile } from '../../tlog/proof-file.ts'
import type { InclusionJson } from '../../tlog/proof-json.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { CouldNotCheck, Refused, Unavailable, Violation } from '../client/errors.ts'
import { LogClient } from '../client/log-client.ts'
import { describeResult, resultJson } from './check/describe.ts'
import { exitStatuses, judgeBytes, type Result } from './check/judge.ts'
import {
  type Command,
  type ExitStatus,
  type Parsed,
  parseArguments,
  printJson,
  printLine,
  UsageError,
} from './command.ts'
import {
  askForProof,
  askForReceipt,
  type EntryPlace,
  proofFileOf,
  proveAtSize,
  proveConsistency,
} from './prove/make-proof.ts'
import { adviceOn, openPlace, type ServerPlace } from './server-fetch.ts'
import { readTokenFile } from './token-file.ts'
import { readVkey, requireVkey, vkeyOptions } from './verifier-key.ts'

export const proveCommand: Command = {
  summary: 'ask a server for a proof, check it and keep it',
  synopsis: '(INDEX|ID | --consistency FROM TO) (--vkey VKEY | --vkey-file FILE) [--out FILE] [OPTIONS]',
  help: `Asks for the proof that an entry is in the tree that the log signed, or that a tree of FROM entries is the beginning
of one of TO, checks all of it with the log's verifier key, and writes what \`check\` then checks offline. INDEX counts
from 0: it is the sequence number less 1. By ID it is the server's word that the leaf is the entry of this id; with an
auditor's token it is checked, and what is written is a receipt, with the entry and its payload.

  --vkey VKEY        the log's verifier key; take it from where you trust, not from the server
  --vkey-file FILE   a file with it
  --url URL          the server (default: the one of the settings here: PORT, and https with DENDROLOG_TLS_CERT)
  --ca FILE          PEM certificate of the CA of an https server, where the system does not know it
  --token-file FILE  a file with the token of an auditor, or a tokens.json
  --size N           in the tree of the first N entries (JSON only; without the entry)
  --out FILE         writes it to a new file (default: standard output)
  --force            replaces FILE where it is there already
  --format FORMAT    json, or tlog-proof: C2SP tlog-proof text (default: by the name of FILE, else json)
  --json             the result as \`check --json\` gives it, with "file", and with "proof", the text, where --out is
                     not given

Exit status: 0 it holds, 1 what the server says is not what the log signed, 2 it could not be found out.`,
  run: prove,
}

const options = {
  ...vkeyOptions,
  url: { type: 'string' },
  ca: { type: 'string' },
  'token-file': { type: 'string' },
  size: { type: 'string' },
  consistency: { type: 'boolean', default: false },
  out: { type: 'string' },
  force: { type: 'boolean', default: false },
  format: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']

/** What is asked for. */
type Wanted =
  | { readonly kind: 'entry'; readonly place: EntryPlace; readonly size: number | undefined }
  | { readonly kind: 'consistency'; readonly from: number; readonly to: number }

type Format = 'json' | 'tlog-proof'

/** Somebody waits: the server's trouble is told soon. */
const retry = { attemptsMax: 3, pauseMs: 250, pauseMsMax: 5_000 }

async function prove(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 2)
  requireVkey(values)
  const wanted = readWanted(values, positionals)
  const format = readFormat(values, wanted)
  const { result, text } = await makeAndCheck(wanted, format, values, signal)
  if (text !== undefined && values.out !== undefined) await writeProof(values.out, text, values.force)
  tell(result, text, values)
  return exitStatuses[result.kind]
}

async function writeProof(file: string, text: string, replaces: boolean): Promise<void> {
  try {
    await writeFile(file, text, { flag: replaces ? 'w' : 'wx' })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? 'is there already; --force replaces it' : `cannot be written (${code})`
    throw new Error(`--out ${file}: ${reason}`, { cause })
  }
}

/** `text` is there only where it holds. */
type Made = { readonly result: Result; readonly text: string | undefined }

async function makeAndCheck(wanted: Wanted, format: Format, values: Values, signal: AbortSignal): Promise<Made> {
  const place = await openPlace(values.url, values.ca)
  try {
    const key = await readVkey(values)
    const text = await make(await openClient(place, values, key), wanted, format, values, signal)
    const result = judgeBytes(encodeUtf8(text), key)
    return { result, text: result.kind === 'holds' ? text : undefined }
  } catch (error) {
    signal.throwIfAborted()
    return { result: resultOf(error, place), text: undefined }
  }
}

async function openClient({ url, fetch }: ServerPlace, values: Values, key: VerifierKey): Promise<LogClient> {
  const token =
    values['token-file'] === undefined ? {} : { token: await readTokenFile(values['token-file'], 'auditor') }
  return new LogClient({ url: url.href, vkey: formatVkey(key), retry, fetch, ...token })
}

async function make(
  client: LogClient,
  wanted: Wanted,
  format: Format,
  values: Values,
  signal: AbortSignal,
): Promise<string> {
  if (wanted.kind === 'consistency') return textOf(await proveConsistency(client, wanted.from, wanted.to, signal))
  const { place, size } = wanted
  if (size !== undefined) {
    const index = place.kind === 'index' ? place.index : (await askForProof(client, place, signal)).leafIndex
    return textOf(await proveAtSize(client, index, size, signal))
  }
  if (values['token-file'] === undefined) return formatted(await askForProof(client, place, signal), format)
  const receipt = await askForReceipt(client, place, signal)
  return format === 'json' ? `${receipt}\n` : formatted(proofOfReceipt(receipt), format)
}

function formatted(proof: InclusionJson, format: Format): string {
  return format === 'json' ? textOf(proof) : formatProofFile(proofFileOf(proof))
}

/** Of a receipt that was checked. */
function proofOfReceipt(receipt: string): InclusionJson {
  const {
    leaf: _,
    entry,
    ...proof
  } = JSON.parse(receipt) as InclusionJson & { leaf: string; entry: { leafHash: string } }
  const { leafIndex } = proof.inclusionProof
  return { ...proof, leafIndex, leafHash: formatBase64(Buffer.from(entry.leafHash, 'hex')) }
}

function textOf(value: object): string {
  return `${JSON.stringify(value)}\n`
}

function readWanted(values: Values, places: readonly string[]): Wanted {
  const [first, second] = places
  if (values.consistency) {
    if (second === undefined || values.size !== undefined) throw new UsageError('--consistency: want FROM and TO alone')
    const [from, to] = [readNumber('FROM', first, 1), readNumber('TO', second, 1)]
    if (from > to) throw new UsageError(`FROM: ${from} is above TO`)
    return { kind: 'consistency', from, to }
  }
  if (first === undefined || second !== undefined) throw new UsageError('want the INDEX or the ID of one entry')
  const size = values.size === undefined ? undefined : readNumber('--size', values.size, 1)
  if (!/^\d+$/.test(first)) return { kind: 'entry', place: { kind: 'id', id: readId(first) }, size }
  return { kind: 'entry', place: { kind: 'index', index: readNumber('INDEX', first, 0) }, size }
}

function readFormat({ format, out, size }: Values, { kind }: Wanted): Format {
  const chosen = format ?? (out?.endsWith('.tlog-proof') ? 'tlog-proof' : 'json')
  if (chosen === 'json') return chosen
  if (chosen !== 'tlog-proof') throw new UsageError('--format: want json or tlog-proof')
  if (kind === 'entry' && size === undefined) return chosen
  throw new UsageError('a tlog-proof is about an entry in the tree of a checkpoint; --size and --consistency want json')
}

function readNumber(name: string, text: string | undefined, min: number): number {
  try {
    const n = parseDecimal(text ?? '', name)
    // The sequence number is one more.
    if (n >= min && n < Number.MAX_SAFE_INTEGER) return n
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
  }
  throw new UsageError(`${name}: want a number of ${min} or more`)
}

function readId(text: string): string {
  try {
    return formatUuid(parseUuid(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new UsageError('want an INDEX (decimal) or an ID (UUID)')
  }
}

/** An answer that the log did not sign is a violation; everything else says nothing about the log. */
function resultOf(error: unknown, { url }: ServerPlace): Result {
  if (error instanceof Violation) return { kind: 'violated', code: error.code, detail: error.message }
  if (error instanceof Unavailable) {
    return { kind: 'unknown', code: 'unavailable', detail: `${error.message}${adviceOn(error.cause, url)}` }
  }
  if (error instanceof Refused) return { kind: 'unknown', code: error.code, detail: error.detail }
  if (error instanceof CouldNotCheck || error instanceof TlogError) {
    return { kind: 'unknown', code: error.code, detail: error.message }
  }
  throw error
}

/** What was found is told where the proof is not. */
function tell(result: Result, text: string | undefined, { json, out }: Values): void {
  const file = text === undefined ? null : (out ?? null)
  const isOnOutput = text !== undefined && out === undefined
  if (json) {
    printJson({ ...resultJson(result), file, ...(out === undefined ? { proof: text ?? null } : {}) })
  } else if (isOnOutput) {
    process.stdout.write(text)
    process.stderr.write(`${describeResult(result)}\n`)
  } else {
    printLine(`${describeResult(result)}${file === null ? '' : `\nwritten to ${file}`}`)
  }
}
