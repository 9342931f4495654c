import { encodeUtf8, equalBytes } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { type NoteVerifier, parseNote } from '../../tlog/note.ts'
import { ed25519KeyType, type VerifierKey } from '../../tlog/note-key.ts'
import { CouldNotCheck } from './errors.ts'

// Ed25519 by WebCrypto: Node 20.19 (which calls it experimental in a warning), Chrome 137, Firefox 129, Safari 17; in
// browsers on pages from https or localhost only. It answers later, and notes are opened at once (tlog/note.ts): so the
// one signature that counts is verified before, and the verifier says what came of it.

/**
 * A verifier of the log's key for this one note: of any other text or signature it says false. Throws `malformed-note`,
 * `malformed-key` for a key that is not Ed25519, and CouldNotCheck `no-ed25519` where the platform has none.
 */
export async function verifierOfNote(key: VerifierKey, noteBytes: Uint8Array): Promise<NoteVerifier> {
  checkIsEd25519(key)
  const { name, keyId } = key
  const { text, signatures } = parseNote(noteBytes)
  const message = encodeUtf8(text)
  // Of a repeated pair the first line counts (openNote).
  const own = signatures.find((line) => line.name === name && line.keyId === keyId)?.signature
  const holds = own !== undefined && (await verifyEd25519(key.publicKey, message, own))
  const isOwn = (signature: Uint8Array): boolean => own !== undefined && equalBytes(signature, own)
  return { name, keyId, verify: (bytes, signature) => holds && isOwn(signature) && equalBytes(bytes, message) }
}

/** Throws `malformed-key` unless the key signs checkpoints with Ed25519. */
export function checkIsEd25519({ type }: VerifierKey): void {
  if (type !== ed25519KeyType) throw new TlogError('malformed-key', `vkey: type ${type}, want ${ed25519KeyType}`)
}

async function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey('raw', new Uint8Array(publicKey), 'Ed25519', false, ['verify'])
    return await crypto.subtle.verify('Ed25519', key, new Uint8Array(signature), new Uint8Array(message))
  } catch (cause) {
    throw new CouldNotCheck('no-ed25519', 'WebCrypto does not verify Ed25519 with this key here', { cause })
  }
}

/**
 * Whether a DER signature (ECDSA P-256, SHA-256) of the key `spki` (DER SubjectPublicKeyInfo) holds. Throws
 * `malformed-key` where the key is none.
 */
export async function holdsP256(spki: Uint8Array, message: Uint8Array, der: Uint8Array): Promise<boolean> {
  const raw = rawOfDer(der)
  const curve = { name: 'ECDSA', namedCurve: 'P-256' }
  const key = await crypto.subtle.importKey('spki', new Uint8Array(spki), curve, false, ['verify']).catch((cause) => {
    throw new TlogError('malformed-key', `STH key: ${spki.length} bytes are no P-256 SPKI`, { cause })
  })
  const sha256 = { name: 'ECDSA', hash: 'SHA-256' }
  return raw !== undefined && (await crypto.subtle.verify(sha256, key, raw, new Uint8Array(message)))
}

const coordinateBytes = 32

/** WebCrypto wants r and s, 32 bytes each, of `30 len 02 len r 02 len s` (RFC 3279 2.2.3); undefined of anything else. */
function rawOfDer(der: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (der[0] !== 0x30 || der[1] !== der.length - 2) return undefined
  const r = integerAt(der, 2)
  const s = r && integerAt(der, r.end)
  if (r === undefined || s === undefined || s.end !== der.length) return undefined
  const raw = new Uint8Array(2 * coordinateBytes)
  raw.set(r.bytes, coordinateBytes - r.bytes.length)
  raw.set(s.bytes, 2 * coordinateBytes - s.bytes.length)
  return raw
}

/** A DER INTEGER of at most 32 bytes that is not negative, in its one spelling. */
function integerAt(der: Uint8Array, at: number): { readonly bytes: Uint8Array; readonly end: number } | undefined {
  const end = at + 2 + (der[at + 1] ?? 0)
  const [first, second] = der.subarray(at + 2, end)
  if (der[at] !== 0x02 || first === undefined || end > der.length || first >= 0x80) return undefined
  if (first === 0 && second !== undefined && second < 0x80) return undefined
  const bytes = der.subarray(first === 0 ? at + 3 : at + 2, end)
  return bytes.length <= coordinateBytes ? { bytes, end } : undefined
}
