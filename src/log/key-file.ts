import { formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { type AnyNoteSigner, textVerifier } from '../../tlog/note.ts'
import { ed25519KeyType, formatVkey, namedKey, parseSkey, parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck, p256Signer } from '../ops/signing.ts'
import { type KeyAlgorithm, keySchemeOf, openRemoteKey, type RemoteKey } from '../signing/remote-key.ts'
import type { SigningKeys } from './signer.ts'

// What a key file says: the key itself, or where it is (a URI), and in a second line its public key. That was read when the
// log was made: whoever puts another key in that place later signs nothing that anybody believes.

/** The note key and its verifier key; `text` is the file's. Throws where it is none. */
export function readNoteKey(text: string): { readonly key: VerifierKey; readonly signer: AnyNoteSigner } {
  if (keySchemeOf(text) === undefined) {
    const skey = parseSkey(text.trim(), (seed) => ed25519SignerFromSeed(seed).publicKey)
    const { publicKey, sign } = ed25519SignerFromSeed(skey.seed)
    return { key: namedKey(skey.name, ed25519KeyType, publicKey), signer: { name: skey.name, keyId: skey.keyId, sign } }
  }
  const [uri, pinned] = linesOf(text)
  const key = parseVkey(pinned)
  const { verify } = textVerifier(key, nodeSignatureCheck)
  return {
    key,
    signer: { name: key.name, keyId: key.keyId, sign: signElsewhere(uri, 'ed25519', key.publicKey, verify) },
  }
}

/** The key of STHs and receipts, likewise. */
export function readSthKey(text: string): SigningKeys['sth'] {
  if (keySchemeOf(text) === undefined) return p256Signer(text)
  const [uri, pinned] = linesOf(text)
  const spki = parseBase64(pinned)
  const verify = (message: Uint8Array, der: Uint8Array): boolean =>
    nodeSignatureCheck.ecdsaP256Sha256(spki, message, der)
  return { spki, sign: signElsewhere(uri, 'p256', spki, verify) }
}

/** The file of a note key that is at a URI, which is asked for its public key. */
export async function noteKeyAt(uri: string, origin: string): Promise<string> {
  const publicKey = await readPublicKey(uri, 'ed25519')
  return `${uri}\n${formatVkey(namedKey(origin, ed25519KeyType, publicKey))}\n`
}

export async function sthKeyAt(uri: string): Promise<string> {
  return `${uri}\n${formatBase64(await readPublicKey(uri, 'p256'))}\n`
}

async function readPublicKey(uri: string, algorithm: KeyAlgorithm): Promise<Uint8Array> {
  const key = await openRemoteKey(uri, algorithm)
  await key.close()
  return key.publicKey
}

/** Opens the key when it is to sign first, and again where that failed. What does not hold is not given away. */
function signElsewhere(
  uri: string,
  algorithm: KeyAlgorithm,
  pinned: Uint8Array,
  verify: (message: Uint8Array, signature: Uint8Array) => boolean,
): (message: Uint8Array) => Promise<Uint8Array> {
  let opening: Promise<RemoteKey> | undefined
  const open = async (): Promise<RemoteKey> => {
    const key = await openRemoteKey(uri, algorithm)
    if (Buffer.compare(key.publicKey, pinned) === 0) return key
    throw new Error(`${shown(uri)}: has another public key than when the log was made`)
  }
  return async (message) => {
    opening ??= open()
    const key = await opening.catch((error: unknown) => {
      opening = undefined
      throw error
    })
    const signature = await key.sign(message)
    if (!verify(message, signature)) throw new Error(`${shown(uri)}: gave a signature that does not hold`)
    return signature
  }
}

/** Without what says how to come to it. */
function shown(uri: string): string {
  return uri.split('?', 1)[0] ?? ''
}

function linesOf(text: string): readonly [string, string] {
  const [uri = '', pinned = ''] = text.trim().split('\n')
  return [uri.trim(), pinned.trim()]
}
