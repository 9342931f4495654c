import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { formatBase64 } from '../../tlog/bytes.ts'
import { TlogError, type TlogErrorCode } from '../../tlog/errors.ts'
import { type NoteVerifier, textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
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

export const checkCommand: Command = {
  summary: 'check a receipt offline',
  synopsis: 'FILE|- (--vkey VKEY | --vkey-file FILE) [--json]',
  help: `Checks a receipt with nothing but the log's verifier key: that the entry is what its leaf says, that the leaf is
in the tree, and that the log signed the tree. Asks nobody.

  --vkey VKEY       the log's verifier key, as \`init\` and GET /v1/log show it; take it from where you trust
  --vkey-file FILE  a file with it
  --json            {"holds": true, ...}, or false (a check failed) or null (could not check) with code and detail

Exit status: 0 the receipt holds, 1 it does not, 2 it could not be checked (no receipt, no key, an unknown format).`,
  run: check,
}

/** A receipt with the largest payload, its texts escaped, is below 8 MiB. */
const receiptBytesMax = 16 * 1_048_576

/** Errors that say nothing about the log: what was given is no receipt, or of a format that this program cannot check. */
const couldNotCheckCodes: readonly TlogErrorCode[] = [
  'malformed-json',
  'json-not-strict',
  'malformed-receipt',
  'unknown-leaf-format',
]

async function check(args: readonly string[]): Promise<ExitStatus> {
  const options = { vkey: { type: 'string' }, 'vkey-file': { type: 'string' }, json: { type: 'boolean' } } as const
  const { values, positionals } = parseArguments(args, options, 1)
  const [file] = positionals
  if (file === undefined) throw new UsageError('want the file of a receipt, or - for standard input')
  const verifier = await openVerifier(values.vkey, values['vkey-file'])
  const bytes = await readReceipt(file)
  try {
    report(checkReceipt(parseReceipt(bytes), verifier, nativeSha256), values.json === true)
    return exitHolds
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    return reportFailure(error, values.json === true)
  }
}

async function openVerifier(vkey: string | undefined, vkeyFile: string | undefined): Promise<NoteVerifier> {
  if ((vkey === undefined) === (vkeyFile === undefined)) throw new UsageError('want one of --vkey and --vkey-file')
  const text = vkey ?? (await readFile(vkeyFile ?? '', 'utf8'))
  return textVerifier(parseVkey(text.trim()), nodeSignatureCheck)
}

async function readReceipt(file: string): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (bytes > receiptBytesMax) throw new Error(`${file}: more than ${receiptBytesMax} bytes are no receipt`)
  }
  return Buffer.concat(chunks)
}

function report({ fields, checkpoint }: CheckedReceipt, asJson: boolean): void {
  const { origin, size, root } = checkpoint
  const leafIndex = fields.sequenceNumber - 1
  if (asJson) {
    printJson({ holds: true, origin, treeSize: size, root: formatBase64(root), leafIndex, entry: entryMembers(fields) })
    return
  }
  const { sequenceNumber, action, actorId, resource, timestamp, occurredAt, writer } = fields
  const claimed = occurredAt === null ? '' : `, said to have occurred ${formatMicroseconds(occurredAt)}`
  printLine(`holds: entry ${sequenceNumber} ${quoteText(action)} on ${quoteText(resource)} by ${quoteText(actorId)}
  logged ${formatMicroseconds(timestamp)} for ${quoteText(writer)}${claimed}
  stands at index ${leafIndex} of the tree of size ${size} that ${quoteText(origin)} signed`)
}

function reportFailure({ code, message }: TlogError, asJson: boolean): ExitStatus {
  const isUnknown = couldNotCheckCodes.includes(code)
  if (asJson) printJson({ holds: isUnknown ? null : false, code, detail: message })
  else printLine(`${isUnknown ? 'could not check' : 'does NOT hold'}: ${code}: ${visibleText(message)}`)
  return isUnknown ? exitCouldNotCheck : exitViolation
}
