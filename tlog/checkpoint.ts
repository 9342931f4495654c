import { equalBytes, formatBase64, formatHex, parseBase64 } from './bytes.ts'
import { asTreeSize, parseDecimal, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { asHash, emptyRoot, type Hash } from './hash.ts'
import { checkNoteText, type NoteVerifier, type OpenedNote, openNote } from './note.ts'

/** A tree head of a named log. */
export type Checkpoint = {
  /** Not empty; one line. May have spaces, which key names cannot. */
  readonly origin: string
  readonly size: TreeSize
  readonly root: Hash
}

/** A checkpoint as parsed, with the extension lines (each not empty) that its signers signed along. */
export type CheckpointBody = Checkpoint & { readonly extensions: readonly string[] }

export type OpenedCheckpoint = { readonly checkpoint: CheckpointBody; readonly note: OpenedNote }

/**
 * The body of a checkpoint, C2SP tlog-checkpoint: origin, decimal size, base64 root, extension lines.
 * `malformed-checkpoint` on an origin or extension that is not one non-empty line. Our own checkpoints have no
 * extensions: type 0x05 forbids them, ML-DSA cosignatures do not cover them, and some witnesses refuse them.
 */
export function formatCheckpoint(checkpoint: Checkpoint, extensions: readonly string[] = []): string {
  for (const line of [checkpoint.origin, ...extensions]) checkLine(line)
  const lines = [checkpoint.origin, String(checkpoint.size), formatBase64(checkpoint.root), ...extensions]
  return `${lines.join('\n')}\n`
}

/**
 * Reads the body of a checkpoint; `malformed-checkpoint` unless it is the one spelling of its values. Sizes above
 * 2^53-1 are refused, although the format goes to 2^64-1.
 */
export function parseCheckpoint(text: string): CheckpointBody {
  checkText(text)
  const [origin, size, root, ...extensions] = text.slice(0, -1).split('\n')
  if (origin === undefined || size === undefined || root === undefined) throw malformed('fewer than three lines')
  for (const line of [origin, ...extensions]) checkLine(line)
  return { origin, size: parseSize(size), root: parseRoot(root), extensions }
}

/**
 * Opens a signed checkpoint. `verifiers` are the log's keys, of which one must have signed; a witness among them would
 * count as the log. Signatures come before meaning: the errors of `openNote`, then `malformed-checkpoint`,
 * `origin-mismatch`, and `root-mismatch` for a root of size 0 that is not the empty one.
 */
export function openCheckpoint(
  noteBytes: Uint8Array,
  origin: string,
  verifiers: readonly NoteVerifier[],
): OpenedCheckpoint {
  const note = openNote(noteBytes, verifiers)
  const checkpoint = parseCheckpoint(note.text)
  if (checkpoint.origin !== origin) {
    throw new TlogError('origin-mismatch', `checkpoint of ${quote(checkpoint.origin)}, want ${quote(origin)}`)
  }
  if (checkpoint.size === 0 && !equalBytes(checkpoint.root, emptyRoot)) {
    throw new TlogError('root-mismatch', `checkpoint of size 0: root ${formatHex(checkpoint.root)}`)
  }
  return { checkpoint, note }
}

function checkText(text: string): void {
  try {
    checkNoteText(text)
  } catch (cause) {
    throw new TlogError('malformed-checkpoint', 'checkpoint: not the text of a note', { cause })
  }
}

function checkLine(line: string): void {
  if (line === '' || line.includes('\n')) throw malformed(`want one line that is not empty, got ${quote(line)}`)
  checkText(`${line}\n`)
}

function parseSize(text: string): TreeSize {
  try {
    return asTreeSize(parseDecimal(text, 'tree size'))
  } catch (cause) {
    throw new TlogError('malformed-checkpoint', `checkpoint: tree size ${quote(text)}`, { cause })
  }
}

function parseRoot(text: string): Hash {
  try {
    return asHash(parseBase64(text), 'root')
  } catch (cause) {
    throw new TlogError('malformed-checkpoint', `checkpoint: root ${quote(text)}`, { cause })
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-checkpoint', `checkpoint: ${reason}`)
}
