import { concatBytes, encodeUtf8, equalBytes, formatBase64, parseBase64 } from './bytes.ts'
import { TlogError } from './errors.ts'
import { digest, hashBytes } from './hash.ts'

// Keys of signed notes (C2SP signed-note, static-ct-api). A key is found by (name, key ID). The ID is an index and no
// security check: four bytes collide at will.

/**
 * The signature type byte of a key, which also says what follows the key ID on a signature line:
 * 0x01 Ed25519 over the text; 0x02 DER ECDSA over SHA-256 of the text; 0x04 Ed25519 timestamped cosignature;
 * 0x05 RFC 6962 tree head; 0x06 ML-DSA-44 timestamped cosignature.
 */
export type KeyType = 0x01 | 0x02 | 0x04 | 0x05 | 0x06

export const ed25519KeyType = 0x01
export const ecdsaKeyType = 0x02
export const cosignatureKeyType = 0x04
export const sthKeyType = 0x05
export const mlDsaKeyType = 0x06

/** A public key with its name. `publicKey`: 32 bytes (0x01, 0x04), 1312 (0x06), SPKI DER (0x02), SPKI DER or the 32-byte log ID (0x05). */
export type VerifierKey = {
  readonly name: string
  /** uint32. */
  readonly keyId: number
  readonly type: KeyType
  readonly publicKey: Uint8Array
}

/** A private key with its name: a 32-byte seed, of Ed25519 (RFC 8032 5.1.5) or of ML-DSA-44 (FIPS 204 5.1). */
export type SignerKey = {
  readonly name: string
  /** uint32, of the public key. */
  readonly keyId: number
  readonly type: typeof ed25519KeyType | typeof cosignatureKeyType | typeof mlDsaKeyType
  readonly seed: Uint8Array
}

/** The public key of a 32-byte seed. Injected: SHA-256 is all the cryptography of this folder. */
export type SeedPublicKey = (seed: Uint8Array, type: SignerKey['type']) => Uint8Array

const seedBytes = 32
const ed25519Bytes = 32
const mlDsa44Bytes = 1312
// DER of a named-curve P-256 SubjectPublicKeyInfo up to and with the mark of an uncompressed point; X and Y follow.
const p256SpkiPrefix = Uint8Array.of(
  ...[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06],
  ...[0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04],
)
const p256SpkiBytes = 91

const signerPrefix = 'PRIVATE+KEY+'

// White space is Unicode's White_Space property, spelt out because \s has U+FEFF and lacks U+0085. The C0 controls
// are refused too: no note can carry them.
const keyName = /^[^+\u0000-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/u

/** Whether `name` can stand in a signature line: not empty, no `+`, no white space, no control characters, no lone surrogates. */
export function isKeyName(name: string): boolean {
  return keyName.test(name) && name.isWellFormed()
}

/** Whether `spki` is the 91-byte DER of an uncompressed P-256 key. That the point is on the curve is not checked. */
export function isP256Spki(spki: Uint8Array): boolean {
  return spki.length === p256SpkiBytes && equalBytes(spki.subarray(0, p256SpkiPrefix.length), p256SpkiPrefix)
}

/**
 * Names a public key and computes its ID; `malformed-key` on a bad name, an unknown type or a key of another length.
 * ID: the first 4 bytes of SHA-256(name || 0x0a || type || key). Type 0x05 hashes the log ID, whichever form the key
 * has; type 0x02 hashes nothing but the SPKI.
 */
export function namedKey(name: string, type: number, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw new TlogError('malformed-key', `key name: got ${JSON.stringify(name.slice(0, 80))}`)
  const knownType = checkedKeyType(type, publicKey)
  return { name, keyId: keyIdOf(name, knownType, publicKey), type: knownType, publicKey }
}

/** `name+hex key ID+base64(type || key)`. */
export function formatVkey(key: VerifierKey): string {
  return `${key.name}+${formatKeyId(key.keyId)}+${formatTyped(key.type, key.publicKey)}`
}

/** Reads a verifier key; `malformed-key` unless it is canonical (lower-case hex, strict base64) and its key ID is right. */
export function parseVkey(text: string): VerifierKey {
  const { name, keyId, typed } = splitKey(text, 'vkey')
  const key = namedKey(name, typed[0] ?? 0, typed.subarray(1))
  if (formatKeyId(key.keyId) !== keyId) {
    throw new TlogError('malformed-key', `vkey: key ID ${keyId}, computed ${formatKeyId(key.keyId)}`)
  }
  return key
}

/** Names a seed (32 bytes), for notes (0x01) or cosignatures (0x04, 0x06); `malformed-key` as in `namedKey`. */
export function namedSeed(
  name: string,
  type: SignerKey['type'],
  seed: Uint8Array,
  publicKeyOf: SeedPublicKey,
): SignerKey {
  if (seed.length !== seedBytes) {
    throw new TlogError('malformed-key', `seed: got ${seed.length} bytes, want ${seedBytes}`)
  }
  return { name, keyId: namedKey(name, type, publicKeyOf(seed, type)).keyId, type, seed }
}

/** `PRIVATE+KEY+name+hex key ID+base64(type || seed)`. Secret. */
export function formatSkey(key: SignerKey): string {
  return `${signerPrefix}${key.name}+${formatKeyId(key.keyId)}+${formatTyped(key.type, key.seed)}`
}

/** Reads a signer key; `malformed-key` as in `parseVkey`. No error message shows any of the text. */
export function parseSkey(text: string, publicKeyOf: SeedPublicKey): SignerKey {
  if (!text.startsWith(signerPrefix)) throw new TlogError('malformed-key', `skey: does not start with ${signerPrefix}`)
  const { name, keyId, typed } = splitKey(text.slice(signerPrefix.length), 'skey')
  const type = typed[0] ?? 0
  if (type !== ed25519KeyType && type !== cosignatureKeyType && type !== mlDsaKeyType) {
    throw new TlogError('malformed-key', `skey: type ${type} is of no seed`)
  }
  const key = namedSeed(name, type, typed.subarray(1), publicKeyOf)
  if (formatKeyId(key.keyId) !== keyId) throw new TlogError('malformed-key', 'skey: the key ID is not that of the seed')
  return key
}

/** Eight lower-case hex digits of a uint32. */
export function formatKeyId(keyId: number): string {
  return keyId.toString(16).padStart(8, '0')
}

function checkedKeyType(type: number, publicKey: Uint8Array): KeyType {
  const { length } = publicKey
  const fits = (holds: boolean) => {
    if (!holds) throw new TlogError('malformed-key', `key of type ${type}: ${length} bytes are not such a key`)
  }
  switch (type) {
    case ed25519KeyType:
    case cosignatureKeyType:
      fits(length === ed25519Bytes)
      return type
    case ecdsaKeyType:
      fits(isP256Spki(publicKey))
      return type
    case sthKeyType:
      fits(length === hashBytes || isP256Spki(publicKey))
      return type
    case mlDsaKeyType:
      fits(length === mlDsa44Bytes)
      return type
    default:
      throw new TlogError('malformed-key', `key type: got ${type}`)
  }
}

function keyIdOf(name: string, type: KeyType, publicKey: Uint8Array): number {
  if (type === ecdsaKeyType) return firstUint32(digest(publicKey))
  const hashed = type === sthKeyType && publicKey.length !== hashBytes ? digest(publicKey) : publicKey
  return firstUint32(digest(concatBytes(encodeUtf8(name), Uint8Array.of(0x0a, type), hashed)))
}

function firstUint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}

function formatTyped(type: KeyType, key: Uint8Array): string {
  return formatBase64(concatBytes(Uint8Array.of(type), key))
}

// Only the first two `+` separate: base64 has `+` of its own.
function splitKey(text: string, what: string): { name: string; keyId: string; typed: Uint8Array } {
  const nameEnd = text.indexOf('+')
  const idEnd = text.indexOf('+', nameEnd + 1)
  const keyId = text.slice(nameEnd + 1, idEnd)
  if (nameEnd < 0 || idEnd < 0 || !/^[0-9a-f]{8}$/.test(keyId)) {
    throw new TlogError('malformed-key', `${what}: not of the form name+hhhhhhhh+base64`)
  }
  return { name: text.slice(0, nameEnd), keyId, typed: parseKeyBase64(text.slice(idEnd + 1), what) }
}

// The cause is dropped: it quotes the text, which may be a private key.
function parseKeyBase64(text: string, what: string): Uint8Array {
  try {
    return parseBase64(text)
  } catch {
    throw new TlogError('malformed-key', `${what}: the key is not canonical base64`)
  }
}
