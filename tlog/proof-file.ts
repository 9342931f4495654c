import { decodeUtf8, encodeUtf8, formatBase64, parseBase64 } from './bytes.ts'
import { type CheckpointBody, openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize, parseDecimal } from './coords.ts'
import { TlogError } from './errors.ts'
import { asHash, type Hash, hashBytes, nobleSha256, type Sha256 } from './hash.ts'
import { type NoteVerifier, noteBytesMax } from './note.ts'
import { checkInclusion } from './verify.ts'

// C2SP tlog-proof: an inclusion proof and its signed checkpoint as one text, for whoever has the leaf.

export type ProofFile = {
  readonly index: number
  /** Bottom up. */
  readonly hashes: readonly Hash[]
  /**
   * Covered by nothing. This log's files have the leaf hash here, 32 bytes, so that they can be checked by themselves;
   * empty where there is none.
   */
  readonly extra: Uint8Array
  /** The signed note's text. */
  readonly checkpoint: string
}

export const proofFileHeader = 'c2sp.org/tlog-proof@v1'

const hashesMax = 63
/** Longer ones are of somebody else. */
const extraTextMax = 65_536
const proofFileBytesMax = noteBytesMax + extraTextMax + 64 * (hashesMax + 4)
const hashTextLength = 4 * Math.ceil(hashBytes / 3)

/** The text of a proof file. */
export function formatProofFile({ index, hashes, extra, checkpoint }: ProofFile): string {
  const extraLine = extra.length === 0 ? [] : [`extra ${formatBase64(extra)}`]
  const lines = [proofFileHeader, ...extraLine, `index ${index}`, ...hashes.map(formatBase64)]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

/**
 * Reads a proof file strictly; `malformed-proof-file`. An `extra` line without data, which some write, is taken as
 * none. Nothing is checked yet.
 */
export function parseProofFile(bytes: Uint8Array): ProofFile {
  if (bytes.length > proofFileBytesMax) throw malformed(`${bytes.length} bytes`)
  return unlessMalformed(() => {
    const text = decodeUtf8(bytes)
    const end = text.indexOf('\n\n')
    if (end < 0) throw malformed('no blank line before the checkpoint')
    const [header, ...lines] = text.slice(0, end).split('\n')
    if (header !== proofFileHeader) throw malformed(`first line: want ${proofFileHeader}`)
    const extra = lines[0]?.startsWith('extra ') ? parseExtra(lines.shift() ?? '') : new Uint8Array(0)
    const index = parseIndex(lines.shift())
    return { index, hashes: lines.map(parseHash), extra, checkpoint: text.slice(end + 2) }
  })
}

/**
 * Checks a proof file: the log that `verifier` names signed the checkpoint, and the leaf is at the index of its tree.
 * Throws the errors of `openCheckpoint` and `checkInclusion`.
 */
export function checkProofFile(
  { index, hashes, checkpoint: note }: ProofFile,
  leaf: Uint8Array,
  verifier: NoteVerifier,
  hash: Sha256 = nobleSha256,
): CheckpointBody {
  const { checkpoint } = openCheckpoint(encodeUtf8(note), verifier.name, [verifier])
  checkInclusion(asLeafIndex(index), asTreeSize(checkpoint.size), leaf, hashes, checkpoint.root, hash)
  return checkpoint
}

/** The leaf hash that a file of this log carries; undefined where its extra data is something else. */
export function leafHashOfExtra({ extra }: ProofFile): Hash | undefined {
  return extra.length === hashBytes ? asHash(extra) : undefined
}

function parseExtra(line: string): Uint8Array {
  if (line.length > extraTextMax) throw malformed(`extra: ${line.length} characters`)
  return parseBase64(line.slice('extra '.length))
}

function parseIndex(line: string | undefined): number {
  if (line?.startsWith('index ')) return parseDecimal(line.slice('index '.length), 'index')
  throw malformed('no index')
}

function parseHash(line: string, i: number): Hash {
  if (i >= hashesMax) throw malformed(`more than ${hashesMax} hashes`)
  if (line.length !== hashTextLength) throw malformed(`hash ${i}: ${line.length} characters`)
  return asHash(parseBase64(line), `hash ${i}`)
}

function unlessMalformed<T>(parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof TlogError) || cause.code === 'malformed-proof-file') throw cause
    throw malformed(cause.message, cause)
  }
}

function malformed(reason: string, cause?: unknown): TlogError {
  return new TlogError('malformed-proof-file', `proof file: ${reason}`, { cause })
}
