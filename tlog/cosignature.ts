import { concatBytes, decodeUtf8, encodeUtf8 } from './bytes.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { TlogError } from './errors.ts'
import type { NoteSignature, NoteVerifier, SignatureCheck } from './note.ts'
import { cosignatureKeyType, mlDsaKeyType, type VerifierKey } from './note-key.ts'

// Cosignatures (C2SP tlog-cosignature): another party says, at a time, that of all tree heads of this origin that it saw
// this is the largest, and consistent with all before it. Behind the key ID stand the time (uint64, POSIX seconds) and
// the signature: 64 bytes of Ed25519 (0x04) over the time and the whole text of the checkpoint, or 2,420 bytes of
// ML-DSA-44 (0x06, FIPS 204, pure, empty context) over name, time, origin, size and root.

/** The injected cryptography. Without `mlDsa44` keys of type 0x06 are `malformed-key`. */
export type CosignatureCheck = Pick<SignatureCheck, 'ed25519'> & {
  readonly mlDsa44?: (publicKey1312: Uint8Array, message: Uint8Array, signature2420: Uint8Array) => boolean
}

/** A part of a tree, leaves `start` to `end`; a tree head is the part from 0. */
export type Subtree = {
  readonly origin: string
  readonly start: number
  readonly end: number
  readonly hash: Uint8Array
}

/** What a key of a cosigner signs with; `sign` gets the message and returns 64 bytes (0x04) or 2,420 (0x06). */
export type CosigningKey = {
  readonly key: VerifierKey
  readonly sign: (message: Uint8Array) => Uint8Array
}

const timeBytes = 8
const signatureBytes = { [cosignatureKeyType]: 64, [mlDsaKeyType]: 2420 } as const
/** Names and origins have a length of one byte in what ML-DSA signs. */
const nameBytesMax = 255
const subtreeLabel = 'subtree/v1\n\0'

/**
 * Verifier of a cosigner's key (0x04, 0x06); `malformed-key` for others. Whether the time is plausible is for the caller
 * to judge: milliseconds for seconds verify too, and 0 claims nothing about other tree heads.
 */
export function cosignatureVerifier(key: VerifierKey, check: CosignatureCheck): NoteVerifier {
  const { name, keyId, type, publicKey } = key
  const { mlDsa44 } = check
  if (type === cosignatureKeyType) {
    const holds = (time: bigint, text: Uint8Array, signature: Uint8Array): boolean =>
      check.ed25519(publicKey, timedText(time, text), signature)
    return { name, keyId, verify: timedCheck(signatureBytes[type], holds) }
  }
  if (type === mlDsaKeyType && mlDsa44 !== undefined) {
    const holds = (time: bigint, text: Uint8Array, signature: Uint8Array): boolean => {
      const message = subtreeOfText(name, time, text)
      return message !== undefined && mlDsa44(publicKey, message, signature)
    }
    return { name, keyId, verify: timedCheck(signatureBytes[type], holds) }
  }
  throw new TlogError('malformed-key', `key of type ${type}: its cosignatures cannot be checked`)
}

/**
 * The cosignature of a checkpoint at a time, POSIX seconds from 1 to 2^53-1. Errors: `malformed-checkpoint` on a text that
 * is none, `malformed-key` on a key that does not cosign, `out-of-range` on another time.
 */
export function cosign(cosigner: CosigningKey, checkpointText: string, timeS: number): NoteSignature {
  if (!Number.isSafeInteger(timeS) || timeS < 1) throw new TlogError('out-of-range', `time of a cosignature: ${timeS}`)
  const checkpoint = parseCheckpoint(checkpointText)
  const { name, keyId, type } = cosigner.key
  const time = BigInt(timeS)
  if (type === cosignatureKeyType) {
    return { name, keyId, signature: timed(time, cosigner.sign(timedText(time, encodeUtf8(checkpointText)))) }
  }
  const { origin, size, root } = checkpoint
  if (type === mlDsaKeyType) {
    const message = subtreeMessage(name, time, { origin, start: 0, end: size, hash: root })
    return { name, keyId, signature: timed(time, cosigner.sign(message)) }
  }
  throw new TlogError('malformed-key', `key of type ${type} makes no cosignatures`)
}

/** ML-DSA over a part of a tree, which claims nothing about time. Errors as `cosign`. */
export function cosignSubtree(cosigner: CosigningKey, subtree: Subtree): NoteSignature {
  const { name, keyId, type } = cosigner.key
  if (type !== mlDsaKeyType) throw new TlogError('malformed-key', `key of type ${type} signs no parts of trees`)
  return { name, keyId, signature: timed(0n, cosigner.sign(subtreeMessage(name, 0n, subtree))) }
}

/** POSIX seconds at which a cosignature was made; undefined above 2^53-1, or where it is too short to be one. */
export function cosignatureTime({ signature }: NoteSignature): number | undefined {
  if (signature.length <= timeBytes) return undefined
  const time = readTime(signature)
  return time <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(time) : undefined
}

/** `subtree/v1`, name, time, origin, start, end, hash (TLS presentation language); `malformed-key`, `malformed-checkpoint`. */
function subtreeMessage(name: string, time: bigint, { origin, start, end, hash }: Subtree): Uint8Array {
  const [nameBytes, originBytes] = [encodeUtf8(name), encodeUtf8(origin)]
  if (nameBytes.length > nameBytesMax)
    throw new TlogError('malformed-key', `cosigner's name: ${nameBytes.length} bytes`)
  if (originBytes.length > nameBytesMax) {
    throw new TlogError(
      'malformed-checkpoint',
      `origin: ${originBytes.length} bytes, ML-DSA signs up to ${nameBytesMax}`,
    )
  }
  return concatBytes(
    encodeUtf8(subtreeLabel),
    ...[Uint8Array.of(nameBytes.length), nameBytes, uint64(time)],
    ...[Uint8Array.of(originBytes.length), originBytes, uint64(BigInt(start)), uint64(BigInt(end)), hash],
  )
}

/** Undefined where the text is no checkpoint, of which nobody can have signed anything. */
function subtreeOfText(name: string, time: bigint, text: Uint8Array): Uint8Array | undefined {
  try {
    const { origin, size, root } = parseCheckpoint(decodeUtf8(text))
    return subtreeMessage(name, time, { origin, start: 0, end: size, hash: root })
  } catch (error) {
    if (error instanceof TlogError) return undefined
    throw error
  }
}

function timedCheck(
  bytes: number,
  holds: (time: bigint, text: Uint8Array, signature: Uint8Array) => boolean,
): NoteVerifier['verify'] {
  return (text, signature) =>
    signature.length === timeBytes + bytes && holds(readTime(signature), text, signature.subarray(timeBytes))
}

function timedText(time: bigint, text: Uint8Array): Uint8Array {
  return concatBytes(encodeUtf8(`cosignature/v1\ntime ${time}\n`), text)
}

function timed(time: bigint, signature: Uint8Array): Uint8Array {
  return concatBytes(uint64(time), signature)
}

function readTime(signature: Uint8Array): bigint {
  return new DataView(signature.buffer, signature.byteOffset, timeBytes).getBigUint64(0)
}

function uint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(timeBytes)
  new DataView(bytes.buffer).setBigUint64(0, value)
  return bytes
}
