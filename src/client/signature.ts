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
