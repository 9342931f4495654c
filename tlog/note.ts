import { concatBytes, decodeUtf8, encodeUtf8, formatBase64, parseBase64 } from './bytes.ts'
import { TlogError } from './errors.ts'
import { ecdsaKeyType, ed25519KeyType, formatKeyId, isKeyName, type VerifierKey } from './note-key.ts'

// Signed notes (C2SP signed-note): text, blank line, signature lines. What is signed is the text with its final LF and
// without the blank line. Text is a string here: it is well-formed Unicode, so its UTF-8 is the signed bytes again.

/** One signature line. */
export type NoteSignature = {
  readonly name: string
  /** uint32. */
  readonly keyId: number
  /** What follows the key ID: at least 1 byte. */
  readonly signature: Uint8Array
}

export type Note = {
  /** One or more lines, each ended by LF. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** A note with at least one verified signature. */
export type OpenedNote = {
  readonly text: string
  /** One per known key. */
  readonly verified: readonly NoteSignature[]
  /** Of unknown keys, unchecked; identical lines once. */
  readonly unverified: readonly NoteSignature[]
}

/** Checks signatures of one key. `verify` gets the text's bytes; it returns false on any signature that does not hold. */
export type NoteVerifier = {
  readonly name: string
  /** uint32. */
  readonly keyId: number
  verify(text: Uint8Array, signature: Uint8Array): boolean
}

export type NoteSigner = {
  readonly name: string
  /** uint32. */
  readonly keyId: number
  sign(text: Uint8Array): Uint8Array
}

/**
 * The injected public-key cryptography. False means that the signature does not hold, whatever its length or form;
 * a public key that is none throws.
 */
export type SignatureCheck = {
  ed25519(publicKey32: Uint8Array, message: Uint8Array, signature64: Uint8Array): boolean
  ecdsaP256Sha256(spki: Uint8Array, message: Uint8Array, der: Uint8Array): boolean
}

export const noteBytesMax = 1_000_000
export const noteSignaturesMax = 100

const signatureMark = '\u2014 '
const keyIdBytes = 4

/** Splits a note without checking any signature; `malformed-note` on anything that is not exactly a note. */
export function parseNote(bytes: Uint8Array): Note {
  if (bytes.length > noteBytesMax) throw malformed(`${bytes.length} bytes, limit ${noteBytesMax}`)
  const note = decodeNote(bytes)
  const split = note.lastIndexOf('\n\n')
  if (split < 0) throw malformed('no blank line before the signatures')
  const text = note.slice(0, split + 1)
  checkNoteText(text)
  return { text, signatures: parseSignatureLines(note.slice(split + 2)) }
}

/** Bytes of a note; `malformed-note` on what `parseNote` would not give back. */
export function formatNote(note: Note): Uint8Array {
  checkNoteText(note.text)
  checkSignatureCount(note.signatures.length)
  const bytes = encodeUtf8(`${note.text}\n${note.signatures.map(formatSignatureLine).join('')}`)
  if (bytes.length > noteBytesMax) throw malformed(`${bytes.length} bytes, limit ${noteBytesMax}`)
  return bytes
}

/**
 * Opens a note with the keys that the caller trusts, in the order of the reference implementation: a signature of a
 * known (name, key ID) that fails refuses the whole note (`invalid-signature`), a repeated known pair is skipped, an
 * unknown pair is kept as unverified, and a note with nothing verified is refused (`unverified-note`).
 */
export function openNote(bytes: Uint8Array, verifiers: readonly NoteVerifier[]): OpenedNote {
  const { text, signatures } = parseNote(bytes)
  const known = verifiersByPair(verifiers)
  const message = encodeUtf8(text)
  const verified = new Map<string, NoteSignature>()
  const unverified = new Map<string, NoteSignature>()
  for (const signature of signatures) {
    const pair = pairOf(signature)
    const verifier = known.get(pair)
    if (verifier === undefined) unverified.set(formatSignatureLine(signature), signature)
    else if (!verified.has(pair)) verified.set(pair, verifiedBy(verifier, message, signature))
  }
  if (verified.size === 0) throw new TlogError('unverified-note', `note: signed by ${pairList(signatures)}, none known`)
  return { text, verified: [...verified.values()], unverified: [...unverified.values()] }
}

/** A signer whose key may be elsewhere: it rejects where that cannot be asked. */
export type AnyNoteSigner = Pick<NoteSigner, 'name' | 'keyId'> & {
  sign(text: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/** As `signNote`, by keys that may be elsewhere. Rejects as they do. */
export async function signNoteAnywhere(text: string, signers: readonly AnyNoteSigner[]): Promise<Uint8Array> {
  checkNoteText(text)
  const message = encodeUtf8(text)
  const signatures = signers.map(async (signer) => ({
    ...{ name: signer.name, keyId: signer.keyId, signature: await signer.sign(message) },
  }))
  return formatNote({ text, signatures: await Promise.all(signatures) })
}

/** Signs `text` with each signer in turn; the bytes of the note. `malformed-note` unless `text` is one a note can have. */
export function signNote(text: string, signers: readonly NoteSigner[]): Uint8Array {
  checkNoteText(text)
  const message = encodeUtf8(text)
  const signatures = signers.map((signer) => ({
    name: signer.name,
    keyId: signer.keyId,
    signature: signer.sign(message),
  }))
  return formatNote({ text, signatures })
}

/**
 * Adds the signatures in `added` that hold under one of `verifiers` and drops the rest, one for each known pair, so
 * that the result cannot be refused for a bad signature by anybody with these keys. The note's own lines of other keys stay.
 */
export function mergeSignatures(note: Note, added: readonly NoteSignature[], verifiers: readonly NoteVerifier[]): Note {
  const known = verifiersByPair(verifiers)
  const message = encodeUtf8(note.text)
  const seen = new Set<string>()
  const holds = (signature: NoteSignature) => {
    const pair = pairOf(signature)
    if (seen.has(pair) || known.get(pair)?.verify(message, signature.signature) !== true) return false
    seen.add(pair)
    return true
  }
  const own = note.signatures.filter((signature) => !known.has(pairOf(signature)) || holds(signature))
  return { text: note.text, signatures: [...own, ...added.filter(holds)] }
}

/** Reads 1 to 100 signature lines, each ended by LF, as a witness answers them; `malformed-note`. */
export function parseSignatureLines(block: string): NoteSignature[] {
  if (!block.endsWith('\n')) throw malformed('the signatures do not end in a newline')
  const lines = block.slice(0, -1).split('\n')
  checkSignatureCount(lines.length)
  return lines.map(parseSignatureLine)
}

/** `(em dash) name base64(key ID || signature)` and LF; `malformed-note` on a bad name, key ID or an empty signature. */
export function formatSignatureLine({ name, keyId, signature }: NoteSignature): string {
  if (!isKeyName(name)) throw malformed(`key name ${quote(name)}`)
  if (!Number.isInteger(keyId) || keyId < 0 || keyId > 0xffffffff) throw malformed(`key ID ${keyId} is no uint32`)
  if (signature.length === 0) throw malformed(`empty signature of ${quote(name)}`)
  const prefix = new Uint8Array(keyIdBytes)
  new DataView(prefix.buffer).setUint32(0, keyId)
  return `${signatureMark}${name} ${formatBase64(concatBytes(prefix, signature))}\n`
}

/** Throws `malformed-note` unless `text` can be signed: well-formed, ends in LF, no control character but LF. */
export function checkNoteText(text: string): void {
  if (!text.endsWith('\n')) throw malformed('the text does not end in a newline')
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) throw malformed('control character in the text')
  if (!text.isWellFormed()) throw malformed('lone surrogate in the text')
}

/**
 * Verifier of a key that signs the text itself: Ed25519 (0x01) or ECDSA (0x02). Tree heads (0x05) and cosignatures
 * sign other bytes and have verifiers in their own files; here they are `malformed-key`.
 */
export function textVerifier(key: VerifierKey, check: SignatureCheck): NoteVerifier {
  const { name, keyId, publicKey } = key
  switch (key.type) {
    case ed25519KeyType:
      return { name, keyId, verify: (text, signature) => check.ed25519(publicKey, text, signature) }
    case ecdsaKeyType:
      return { name, keyId, verify: (text, signature) => check.ecdsaP256Sha256(publicKey, text, signature) }
    default:
      throw new TlogError('malformed-key', `key of type ${key.type} does not sign the text of a note`)
  }
}

function decodeNote(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes)
  } catch (cause) {
    throw new TlogError('malformed-note', 'note: not UTF-8', { cause })
  }
}

function parseSignatureLine(line: string): NoteSignature {
  const nameEnd = line.indexOf(' ', signatureMark.length)
  const name = line.slice(signatureMark.length, nameEnd)
  if (!line.startsWith(signatureMark) || nameEnd < 0 || !isKeyName(name)) throw malformed(`line ${quote(line)}`)
  const blob = parseSignatureBase64(line.slice(nameEnd + 1))
  if (blob.length <= keyIdBytes) throw malformed(`signature of ${quote(name)}: ${blob.length} bytes`)
  return { name, keyId: new DataView(blob.buffer).getUint32(0), signature: blob.subarray(keyIdBytes) }
}

function parseSignatureBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(parseBase64(text))
  } catch (cause) {
    throw new TlogError('malformed-note', `note: signature is not canonical base64: ${quote(text)}`, { cause })
  }
}

function checkSignatureCount(count: number): void {
  if (count < 1 || count > noteSignaturesMax) throw malformed(`${count} signatures, want 1 to ${noteSignaturesMax}`)
}

// Two keys under one pair could not be told apart on a line, so which of them signed would be a guess.
function verifiersByPair(verifiers: readonly NoteVerifier[]): Map<string, NoteVerifier> {
  const known = new Map(verifiers.map((verifier) => [pairOf(verifier), verifier]))
  if (known.size !== verifiers.length) {
    throw new TlogError('malformed-key', `verifiers: a name and key ID twice in ${pairList(verifiers)}`)
  }
  return known
}

function verifiedBy(verifier: NoteVerifier, message: Uint8Array, signature: NoteSignature): NoteSignature {
  if (verifier.verify(message, signature.signature)) return signature
  throw new TlogError('invalid-signature', `note: the signature of ${pairOf(signature)} does not hold`)
}

// A name has no `+`, so a pair has one spelling.
function pairOf(key: { readonly name: string; readonly keyId: number }): string {
  return `${key.name}+${formatKeyId(key.keyId)}`
}

function pairList(keys: readonly { readonly name: string; readonly keyId: number }[]): string {
  return keys.map(pairOf).join(', ').slice(0, 400)
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-note', `note: ${reason}`)
}
