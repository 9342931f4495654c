import { decodeUtf8, encodeUtf8, formatBase64, parseBase64 } from './bytes.ts'
import { asTreeSize, parseDecimal, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { asHash, type Hash } from './hash.ts'
import { noteBytesMax } from './note.ts'

// What a log asks of a witness (C2SP tlog-witness, add-checkpoint): `old <size>`, the consistency proof from there, a
// blank line and the signed checkpoint.

export type AddCheckpoint = {
  /** The tree that the witness cosigned last; 0 if none. */
  readonly old: TreeSize
  readonly proof: readonly Hash[]
  /** The bytes of the signed note, as they came. */
  readonly note: Uint8Array
}

/** Hashes that a proof can have at most. */
export const proofLinesMax = 63
/** A proof is 63 lines of 45 bytes. */
export const addCheckpointBytesMax: number = noteBytesMax + 4_096

/** Media type of the size that a witness answers, where it knows another one (409). */
export const sizeMediaType = 'text/x.tlog.size'

const oldPrefix = 'old '
const lf = 0x0a

/** Reads a request; `malformed-request` with what is wrong. The note is not read. */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint {
  if (body.length > addCheckpointBytesMax) throw malformed(`${body.length} bytes, limit ${addCheckpointBytesMax}`)
  const split = blankLineAt(body)
  if (split < 0) throw malformed('no blank line before the checkpoint')
  const [first = '', ...lines] = decodeHead(body.subarray(0, split)).split('\n')
  if (!first.startsWith(oldPrefix)) throw malformed('the first line is not "old <size>"')
  if (lines.length > proofLinesMax) throw malformed(`${lines.length} hashes, limit ${proofLinesMax}`)
  return {
    old: parseOld(first.slice(oldPrefix.length)),
    proof: lines.map(parseHashLine),
    note: body.subarray(split + 2),
  }
}

export function formatAddCheckpoint({ old, proof, note }: AddCheckpoint): Uint8Array {
  const head = encodeUtf8(`${[`${oldPrefix}${old}`, ...proof.map(formatBase64)].join('\n')}\n\n`)
  const body = new Uint8Array(head.length + note.length)
  body.set(head)
  body.set(note, head.length)
  return body
}

function blankLineAt(body: Uint8Array): number {
  for (let i = body.indexOf(lf); i >= 0; i = body.indexOf(lf, i + 1)) if (body[i + 1] === lf) return i
  return -1
}

function decodeHead(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes)
  } catch (cause) {
    throw new TlogError('malformed-request', 'add-checkpoint: not UTF-8', { cause })
  }
}

function parseOld(text: string): TreeSize {
  try {
    return asTreeSize(parseDecimal(text, 'old size'))
  } catch (cause) {
    throw new TlogError('malformed-request', `add-checkpoint: old size ${quote(text)}`, { cause })
  }
}

function parseHashLine(line: string): Hash {
  try {
    return asHash(parseBase64(line), 'hash of the proof')
  } catch (cause) {
    throw new TlogError('malformed-request', `add-checkpoint: hash ${quote(line)}`, { cause })
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-request', `add-checkpoint: ${reason}`)
}
