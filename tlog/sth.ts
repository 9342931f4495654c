import { concatBytes, decodeUtf8, formatBase64, parseBase64 } from './bytes.ts'
import { type CheckpointBody, formatCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { asTreeSize, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { digest, type Hash, hashBytes } from './hash.ts'
import type { Note, NoteSignature, NoteVerifier, SignatureCheck } from './note.ts'
import { isP256Spki, namedKey, sthKeyType } from './note-key.ts'

// RFC 6962 signed tree heads, and the same signature on a note line (C2SP static-ct-api, type 0x05). The two forms
// convert into each other without the private key. The signature covers no origin: only the key tells logs apart.

/** What an STH signs, RFC 6962 3.5. */
export type TimedTreeHead = {
  readonly size: TreeSize
  /** Milliseconds since 1970-01-01T00:00:00Z, 0 to 2^53-1. */
  readonly timestampMs: number
  readonly root: Hash
}

export type SignedTreeHead = TimedTreeHead & {
  /** DER ECDSA signature, P-256 with SHA-256; no DigitallySigned around it. */
  readonly signature: Uint8Array
}

/** The answer of get-sth, RFC 6962 4.3. Binary values are standard base64 with padding. */
export type SthJson = {
  readonly tree_size: number
  readonly timestamp: number
  readonly sha256_root_hash: string
  /** The whole DigitallySigned. */
  readonly tree_head_signature: string
}

const treeHeadBytes = 50
const digitallySignedHeadBytes = 4
const uint64Bytes = 8
// SignatureAndHashAlgorithm, RFC 5246 7.4.1.4.1.
const hashSha256 = 4
const signatureEcdsa = 3

/** Log ID: SHA-256 of the 91-byte DER of the log's P-256 public key, RFC 6962 3.2. `malformed-key` on another key. */
export function logId(spki: Uint8Array): Hash {
  if (!isP256Spki(spki)) throw new TlogError('malformed-key', `log key: ${spki.length} bytes are no P-256 SPKI`)
  return digest(spki)
}

/** The 50 signed bytes: version 0, type 1 (tree_hash), timestamp, size, root. RFC 6962 3.5. `out-of-range`. */
export function encodeTreeHead(head: TimedTreeHead): Uint8Array {
  const out = new Uint8Array(treeHeadBytes)
  out[1] = 1
  out.set(encodeUint64(head.timestampMs, 'STH timestamp'), 2)
  out.set(encodeUint64(head.size, 'STH tree size'), 2 + uint64Bytes)
  out.set(head.root, 2 + 2 * uint64Bytes)
  return out
}

/** `04 03`, two bytes of length, DER: RFC 5246 4.7. `malformed-sth` unless the signature has 1 to 65535 bytes. */
export function encodeDigitallySigned(der: Uint8Array): Uint8Array {
  if (der.length === 0 || der.length > 0xffff) throw malformed(`signature of ${der.length} bytes`)
  const head = Uint8Array.of(hashSha256, signatureEcdsa, der.length >> 8, der.length & 0xff)
  return concatBytes(head, der)
}

/** The DER signature within; `malformed-sth` on another algorithm, an empty signature or a length that does not fit. */
export function decodeDigitallySigned(bytes: Uint8Array): Uint8Array {
  const [hash, algorithm, high, low] = bytes
  if (high === undefined || low === undefined) throw malformed(`DigitallySigned of ${bytes.length} bytes`)
  if (hash !== hashSha256 || algorithm !== signatureEcdsa) {
    throw malformed(`algorithms ${hash}, ${algorithm}, want ${hashSha256}, ${signatureEcdsa} (SHA-256, ECDSA)`)
  }
  const der = bytes.subarray(digitallySignedHeadBytes)
  if (der.length === 0 || der.length !== high * 256 + low) {
    throw malformed(`signature of ${der.length} bytes, announced ${high * 256 + low}`)
  }
  return der
}

/** Throws `invalid-signature` unless `sth` was signed with the key `spki`. */
export function checkSth(sth: SignedTreeHead, spki: Uint8Array, check: SignatureCheck): void {
  if (!check.ecdsaP256Sha256(spki, encodeTreeHead(sth), sth.signature)) {
    throw new TlogError(
      'invalid-signature',
      `STH of size ${sth.size} at ${sth.timestampMs} ms: signature does not hold`,
    )
  }
}

export function formatSth(sth: SignedTreeHead): SthJson {
  return {
    tree_size: sth.size,
    timestamp: sth.timestampMs,
    sha256_root_hash: formatBase64(sth.root),
    tree_head_signature: formatBase64(encodeDigitallySigned(sth.signature)),
  }
}

/** Reads parsed JSON of get-sth; `malformed-sth`. Members that it does not know are ignored, as RFC 6962 4 asks. */
export function parseSth(value: unknown): SignedTreeHead {
  if (typeof value !== 'object' || value === null) throw malformed('not a JSON object')
  const members: Partial<Record<keyof SthJson, unknown>> = value
  return {
    size: asTreeSize(integerMember(members, 'tree_size')),
    timestampMs: integerMember(members, 'timestamp'),
    root: rootMember(members),
    signature: decodeDigitallySigned(base64Member(members, 'tree_head_signature')),
  }
}

/** The note line of an STH: key name, the key ID of type 0x05, and timestamp (8 bytes) || DigitallySigned. */
export function noteSignatureOfSth(sth: SignedTreeHead, name: string, id: Hash): NoteSignature {
  return {
    name,
    keyId: namedKey(name, sthKeyType, id).keyId,
    signature: concatBytes(encodeUint64(sth.timestampMs, 'STH timestamp'), encodeDigitallySigned(sth.signature)),
  }
}

/** The checkpoint note that says what `sth` says, signed by nobody else. The key name is the origin. */
export function noteOfSth(sth: SignedTreeHead, origin: string, id: Hash): Note {
  const text = formatCheckpoint({ origin, size: sth.size, root: sth.root })
  return { text, signatures: [noteSignatureOfSth(sth, origin, id)] }
}

/**
 * The STH on the line of (`name`, log ID) in a checkpoint note. Nothing is verified. `malformed-sth` where that line
 * is absent or malformed, or the checkpoint has extension lines; `malformed-checkpoint`.
 */
export function sthOfNote(note: Note, name: string, id: Hash): SignedTreeHead {
  const { keyId } = namedKey(name, sthKeyType, id)
  const line = note.signatures.find((signature) => signature.name === name && signature.keyId === keyId)
  if (line === undefined) throw malformed(`no signature of type 0x05 by ${JSON.stringify(name)} in the note`)
  return sthOfLine(parseCheckpoint(note.text), line.signature)
}

/** Verifier of type 0x05 note signatures by the log `name` with the key `spki`; false also on bodies with extension lines. */
export function sthVerifier(name: string, spki: Uint8Array, check: SignatureCheck): NoteVerifier {
  const { keyId } = namedKey(name, sthKeyType, logId(spki))
  const verify = (text: Uint8Array, signature: Uint8Array) => {
    const sth = sthOrUndefined(text, signature)
    return sth !== undefined && check.ecdsaP256Sha256(spki, encodeTreeHead(sth), sth.signature)
  }
  return { name, keyId, verify }
}

function sthOfLine(checkpoint: CheckpointBody, signature: Uint8Array): SignedTreeHead {
  if (checkpoint.extensions.length > 0) throw malformed('extension lines, which the signature does not cover')
  return {
    size: checkpoint.size,
    timestampMs: decodeUint64(signature),
    root: checkpoint.root,
    signature: decodeDigitallySigned(signature.subarray(uint64Bytes)),
  }
}

// A note verifier answers yes or no: a line or text that is no tree head is a signature that does not hold.
function sthOrUndefined(text: Uint8Array, signature: Uint8Array): SignedTreeHead | undefined {
  try {
    return sthOfLine(parseCheckpoint(decodeUtf8(text)), signature)
  } catch (error) {
    if (error instanceof TlogError || error instanceof TypeError) return undefined
    throw error
  }
}

function integerMember(members: Partial<Record<keyof SthJson, unknown>>, name: keyof SthJson): number {
  const n = members[name]
  if (typeof n !== 'number' || !Number.isSafeInteger(n) || n < 0) {
    throw malformed(`${name}: got ${JSON.stringify(n)?.slice(0, 80)}, want an integer of 0 to 2^53-1`)
  }
  return n
}

function base64Member(members: Partial<Record<keyof SthJson, unknown>>, name: keyof SthJson): Uint8Array {
  const text = members[name]
  if (typeof text !== 'string') throw malformed(`${name}: not a string`)
  try {
    return parseBase64(text)
  } catch (cause) {
    throw new TlogError('malformed-sth', `STH: ${name} is not canonical base64`, { cause })
  }
}

function rootMember(members: Partial<Record<keyof SthJson, unknown>>): Hash {
  const root = base64Member(members, 'sha256_root_hash')
  if (root.length !== hashBytes) throw malformed(`root of ${root.length} bytes`)
  return root as Hash
}

function encodeUint64(n: number, what: string): Uint8Array {
  if (!Number.isSafeInteger(n) || n < 0) throw new TlogError('out-of-range', `${what}: got ${n}`)
  const out = new Uint8Array(uint64Bytes)
  const view = new DataView(out.buffer)
  view.setUint32(0, Math.floor(n / 2 ** 32))
  view.setUint32(4, n % 2 ** 32)
  return out
}

function decodeUint64(bytes: Uint8Array): number {
  if (bytes.length < uint64Bytes) throw malformed(`timestamp cut off: ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const n = view.getUint32(0) * 2 ** 32 + view.getUint32(4)
  if (!Number.isSafeInteger(n)) throw malformed('timestamp above 2^53-1 ms')
  return n
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-sth', `STH: ${reason}`)
}
