import { writeFile } from 'node:fs/promises'
import { decodeUtf8, encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { parseDecimal } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { formatVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { formatProofFile } from '../../tlog/proof-file.ts'
import type { InclusionJson } from '../../tlog/proof-json.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { CouldNotCheck, Refused, Unavailable, Violation } from '../client/errors.ts'
import { LogClient } from '../client/log-client.ts'
import { describeResult, resultJson } from './check/describe.ts'
import { judgeBytes } from './check/judge.ts'
import { exitStatuses, type Known, type Result } from './check/result.ts'
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
  askForCoseConsistency,
  askForCoseReceipt,
  askForEvidence,
  askForProof,
  askForReceipt,
  type EntryPlace,
  proofFileOf,
  proveAtSize,
  proveConsistency,
} from './prove/make-proof.ts'
import { adviceOn, openPlace, type ServerPlace } from './server-fetch.ts'
import { readTokenFile } from './token-file.ts'
import { readSthKey, readVkey, requireVkey, vkeyOptions } from './verifier-key.ts'

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
  --format FORMAT    json; tlog-proof, C2SP tlog-proof text; cose, a COSE receipt (RFC 9942), with --sth-key; evidence,
                     an evidence bundle, with an auditor's token (default: by the name of FILE, else json)
  --cose             the same as --format cose
  --sth-key KEY      the log's P-256 key, base64 of its SPKI, which signs COSE receipts
  --json             the result as \`check --json\` gives it, with "file", and with "proof", its text (base64 of cose and
                     evidence), where --out is not given

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
  cose: { type: 'boolean', default: false },
  'sth-key': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']

/** What is asked for. */
type Wanted =
  | { readonly kind: 'entry'; readonly place: EntryPlace; readonly size: number | undefined }
  | { readonly kind: 'consistency'; readonly from: number; readonly to: number }

type Format = 'json' | 'tlog-proof' | 'cose' | 'evidence'

/** Somebody waits: the server's trouble is told soon. */
const retry = { attemptsMax: 3, pauseMs: 250, pauseMsMax: 5_000 }

async function prove(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 2)
  requireVkey(values)
  const wanted = readWanted(values, positionals)
  const format = readFormat(values, wanted)
  const { result, file } = await makeAndCheck(wanted, format, values, signal)
  if (file !== undefined && values.out !== undefined) await writeProof(values.out, file.bytes, values.force)
  tell(result, file, values)
  return exitStatuses[result.kind]
}

async function writeProof(file: string, bytes: Uint8Array, replaces: boolean): Promise<void> {
  try {
    await writeFile(file, bytes, { flag: replaces ? 'w' : 'wx' })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? 'is there already; --force replaces it' : `cannot be written (${code})`
    throw new Error(`--out ${file}: ${reason}`, { cause })
  }
}

/** What is written, and what is known of it that is not in it. */
type ProofFileBytes = { readonly bytes: Uint8Array; readonly known: Known; readonly isText: boolean }

/** `file` is there only where it holds. */
type Made = { readonly result: Result; readonly file: ProofFileBytes | undefined }

async function makeAndCheck(wanted: Wanted, format: Format, values: Values, signal: AbortSignal): Promise<Made> {
  const place = await openPlace(values.url, values.ca)
  try {
    const key = await readVkey(values)
    const file = await make(await openClient(place, values, key), wanted, format, values, signal)
    const result = judgeBytes(file.bytes, key, file.known)
    return { result, file: result.kind === 'holds' ? file : undefined }
  } catch (error) {
    signal.throwIfAborted()
    return { result: resultOf(error, place), file: undefined }
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
): Promise<ProofFileBytes> {
  if (format === 'evidence') return makeEvidence(client, wanted, values, signal)
  if (format === 'cose') return makeCose(client, wanted, readSthKey(values['sth-key'] ?? ''), signal)
  return { bytes: encodeUtf8(await makeText(client, wanted, format, values, signal)), known: {}, isText: true }
}

async function makeCose(
  client: LogClient,
  wanted: Wanted,
  sthKey: Uint8Array,
  signal: AbortSignal,
): Promise<ProofFileBytes> {
  if (wanted.kind === 'consistency') {
    const { receipt, fromRoot } = await askForCoseConsistency(client, wanted.from, wanted.to, signal)
    return { bytes: receipt, known: { sthKey, fromRoot }, isText: false }
  }
  const { receipt, leaf } = await askForCoseReceipt(client, wanted.place, signal)
  return { bytes: receipt, known: { sthKey, leaf }, isText: false }
}

/** An entry that is named by its id is found first. */
async function makeEvidence(
  client: LogClient,
  wanted: Wanted,
  values: Values,
  signal: AbortSignal,
): Promise<ProofFileBytes> {
  if (wanted.kind === 'consistency') throw new UsageError('evidence is about an entry')
  const { place } = wanted
  const index = place.kind === 'index' ? place.index : (await askForProof(client, place, signal)).leafIndex
  const bytes = await askForEvidence(client, index, signal)
  const sthKey = values['sth-key'] === undefined ? undefined : readSthKey(values['sth-key'])
  return { bytes, known: { sthKey }, isText: false }
}

async function makeText(
  client: LogClient,
  wanted: Wanted,
  format: 'json' | 'tlog-proof',
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

function formatted(proof: InclusionJson, format: 'json' | 'tlog-proof'): string {
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

const formats: readonly Format[] = ['json', 'tlog-proof', 'cose', 'evidence']

function readFormat(values: Values, { kind }: Wanted): Format {
  const { cose, format, out, size, 'sth-key': sthKey, 'token-file': tokenFile } = values
  if (cose && format !== undefined && format !== 'cose') throw new UsageError('--cose: and another --format')
  const named = formats.find((each) => out?.endsWith(`.${each}`))
  const chosen = formats.find((each) => each === (cose ? 'cose' : (format ?? named ?? 'json')))
  if (chosen === undefined) throw new UsageError(`--format: want one of ${formats.join(', ')}`)
  if (chosen === 'json') return chosen
  if (size !== undefined) throw new UsageError(`--size wants json: a ${chosen} is of the tree of a checkpoint`)
  if (chosen === 'cose') {
    if (sthKey === undefined) throw new UsageError('a COSE receipt is signed with the log’s P-256 key: want --sth-key')
    readSthKey(sthKey)
    return chosen
  }
  if (kind === 'consistency') throw new UsageError(`--consistency wants json or cose: a ${chosen} is about an entry`)
  if (chosen === 'evidence' && tokenFile === undefined)
    throw new UsageError('evidence is for auditors: want --token-file')
  return chosen
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
function tell(result: Result, made: ProofFileBytes | undefined, { json, out }: Values): void {
  const file = made === undefined ? null : (out ?? null)
  if (json) {
    const proof = made && (made.isText ? decodeUtf8(made.bytes) : formatBase64(made.bytes))
    printJson({ ...resultJson(result), file, ...(out === undefined ? { proof: proof ?? null } : {}) })
  } else if (made !== undefined && out === undefined) {
    process.stdout.write(made.bytes)
    process.stderr.write(`${describeResult(result)}\n`)
  } else {
    printLine(`${describeResult(result)}${file === null ? '' : `\nwritten to ${file}`}`)
  }
}
