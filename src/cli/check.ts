import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { formatBase64 } from '../../tlog/bytes.ts'
import { TlogError, type TlogErrorCode } from '../../tlog/errors.ts'
import { textVerifier } from '../../tlog/note.ts'
import { formatKeyId, parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { type CheckedReceipt, checkReceipt, entryMembers, parseReceipt } from '../../tlog/receipt.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'
import {
  type Command,
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  exitViolation,
  parseArguments,
  printJson,
  printLine,
  quoteText,
  UsageError,
  visibleText,
} from './command.ts'
import { describeError } from './describe-error.ts'

export const checkCommand: Command = {
  summary: 'check a receipt offline',
  synopsis: 'FILE|- (--vkey VKEY | --vkey-file FILE) [--json]',
  help: `Checks a receipt with nothing but the log's verifier key: that the entry is what its leaf says, that the leaf is
in the tree, and that the log signed the tree. Asks nobody.

  --vkey VKEY       the log's verifier key, as \`init\` and GET /v1/log show it; take it from where you trust
  --vkey-file FILE  a file with it
  --json            {"holds", "code", "detail", "origin", "treeSize", "root", "leafIndex", "entry"}: holds is true, or
                    false (a check failed) or null (could not check) with code and detail; what is not known is null

Exit status: 0 the receipt holds, 1 it does not, 2 it could not be checked (no receipt, no key, the key of another log,
an unknown format).`,
  run: check,
}

/** A receipt with the largest payload, its texts escaped, is below 8 MiB. */
const receiptBytesMax = 16 * 1_048_576

/**
 * Errors that say nothing about the log of the key: what was given is no receipt, of a format that this program cannot
 * check, or signed by others.
 */
const couldNotCheckCodes: readonly TlogErrorCode[] = [
  'malformed-json',
  'json-not-strict',
  'malformed-receipt',
  'unknown-leaf-format',
  'malformed-key',
  'unverified-note',
]

async function check(args: readonly string[]): Promise<ExitStatus> {
  const options = { vkey: { type: 'string' }, 'vkey-file': { type: 'string' }, json: { type: 'boolean' } } as const
  const { values, positionals } = parseArguments(args, options, 1)
  const [file] = positionals
  if (file === undefined) throw new UsageError('want the file of a receipt, or - for standard input')
  if ((values.vkey === undefined) === (values['vkey-file'] === undefined)) {
    throw new UsageError('want one of --vkey and --vkey-file')
  }
  const print = values.json === true ? printJsonResult : printResult
  const result = await checkFile(file, values.vkey, values['vkey-file'])
  print(result)
  return exitStatuses[result.kind]
}

/** What came of a check. `code` is a TlogError's, or says why nothing could be checked. */
type Result =
  | { readonly kind: 'holds'; readonly receipt: CheckedReceipt }
  | { readonly kind: 'violated' | 'unknown'; readonly code: string; readonly detail: string }

const exitStatuses: Readonly<Record<Result['kind'], ExitStatus>> = {
  holds: exitHolds,
  violated: exitViolation,
  unknown: exitCouldNotCheck,
}

async function checkFile(file: string, vkey: string | undefined, vkeyFile: string | undefined): Promise<Result> {
  try {
    const key = parseVkey((vkey ?? (await readFile(vkeyFile ?? '', 'utf8'))).trim())
    return checkBytes(await readReceipt(file), key)
  } catch (error) {
    if (error instanceof TlogError) return { kind: 'unknown', code: error.code, detail: error.message }
    // Nothing but files was touched.
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    return { kind: 'unknown', code: 'cannot-read', detail: describeError(error) }
  }
}

function checkBytes(bytes: Uint8Array, key: VerifierKey): Result {
  try {
    const receipt = parseReceipt(bytes)
    const refusal = describeProblem(receipt)
    if (refusal !== undefined) return { kind: 'unknown', code: 'not-a-receipt', detail: refusal }
    return { kind: 'holds', receipt: checkReceipt(receipt, textVerifier(key, nodeSignatureCheck), nativeSha256) }
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    const { code, message } = error
    const kind = couldNotCheckCodes.includes(code) ? 'unknown' : 'violated'
    if (code !== 'unverified-note') return { kind, code, detail: message }
    const want = `${key.name}+${formatKeyId(key.keyId)}`
    return { kind, code, detail: `the receipt is of another log or key: ${message}; the key given is ${want}` }
  }
}

/** What a server said instead of a receipt: an RFC 9457 problem, which a client without care saves as its answer. */
function describeProblem(value: unknown): string | undefined {
  const { status, code, title, detail, entry } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof status !== 'number' || typeof title !== 'string' || entry !== undefined) return undefined
  const said = [code, detail ?? title].filter((part) => typeof part === 'string').join(': ')
  return `this is no receipt but a refusal: the server answered ${status} ${said}`
}

async function readReceipt(file: string): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > receiptBytesMax) {
      throw new TlogError('malformed-receipt', `${file}: more than ${receiptBytesMax} bytes are no receipt`)
    }
  }
  return Buffer.concat(chunks)
}

const nothingKnown = { origin: null, treeSize: null, root: null, leafIndex: null, entry: null }

function printJsonResult(result: Result): void {
  if (result.kind !== 'holds') {
    const { kind, code, detail } = result
    printJson({ holds: kind === 'unknown' ? null : false, code, detail, ...nothingKnown })
    return
  }
  const { fields, checkpoint } = result.receipt
  const { origin, size, root } = checkpoint
  const place = { origin, treeSize: size, root: formatBase64(root), leafIndex: fields.sequenceNumber - 1 }
  printJson({ holds: true, code: null, detail: null, ...place, entry: entryMembers(fields) })
}

function printResult(result: Result): void {
  if (result.kind !== 'holds') {
    const { kind, code, detail } = result
    printLine(`${kind === 'unknown' ? 'could not check' : 'does NOT hold'}: ${code}: ${visibleText(detail)}`)
    return
  }
  const { fields, checkpoint } = result.receipt
  const { sequenceNumber, action, actorId, resource, timestamp, occurredAt, writer } = fields
  const claimed = occurredAt === null ? '' : `, said to have occurred ${formatMicroseconds(occurredAt)}`
  printLine(`holds: entry ${sequenceNumber} ${quoteText(action)} on ${quoteText(resource)} by ${quoteText(actorId)}
  logged ${formatMicroseconds(timestamp)} for ${quoteText(writer)}${claimed}
  stands at index ${sequenceNumber - 1} of the tree of size ${checkpoint.size} that ${quoteText(checkpoint.origin)} signed`)
}
