import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { formatBase64, formatHex, parseHex } from '../../tlog/bytes.ts'
import { ed25519KeyType, formatSkey, formatVkey, namedKey, namedSeed, parseSkey } from '../../tlog/note-key.ts'
import { logId } from '../../tlog/sth.ts'
import type { Unlock } from '../ops/passphrase.ts'
import { isSealedSecret, openSecret, sealSecret } from '../ops/secret-box.ts'
import { ed25519SignerFromSeed, generateEd25519Seed, generateP256Pem, p256Signer } from '../ops/signing.ts'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'
import type { SealKey } from './seal.ts'
import type { SigningKeys } from './signer.ts'

/** The keys of a log, and how the world knows them. */
export type LogKeys = {
  readonly signing: SigningKeys
  readonly sealKey: SealKey
  /** C2SP verifier key of the checkpoints. */
  readonly vkey: string
  /** P-256 SubjectPublicKeyInfo, base64: verifies the STHs. */
  readonly sthPublicKey: string
  /** RFC 6962 log id, base64. */
  readonly logId: string
}

const noteKeyFile = 'note-key'
const sthKeyFile = 'sth-key.pem'
const sealKeyFile = 'seal-key'

/** The files of a log's keys, all of them secret, and what each is for. */
export const keyFiles: readonly { readonly name: string; readonly use: string }[] = [
  { name: noteKeyFile, use: 'signs checkpoints and acts (Ed25519)' },
  { name: sthKeyFile, use: 'signs STHs (ECDSA P-256)' },
  { name: sealKeyFile, use: 'seals heads and hashes tokens (HMAC-SHA-256)' },
]

/**
 * Makes the keys that are missing in `folder`, each a file of mode 0600, durably; encrypted where there is a passphrase.
 * Existing ones stay.
 */
export async function createKeys(folder: string, origin: string, unlock?: Unlock): Promise<void> {
  const seed = generateEd25519Seed()
  const skey = formatSkey(namedSeed(origin, ed25519KeyType, seed, publicKeyOf))
  await createFile(folder, noteKeyFile, `${skey}\n`, unlock)
  await createFile(folder, sthKeyFile, generateP256Pem(), unlock)
  await createFile(folder, sealKeyFile, `${formatHex(randomBytes(32))}\n`, unlock)
}

/**
 * Writes the key files of a folder anew: encrypted under the passphrase of `to`, or as they are without one. A crash leaves
 * each as it was or as it should be, and all of them readable with both passphrases.
 */
export async function rewriteKeys(folder: string, from: Unlock, to: Unlock): Promise<void> {
  for (const { name } of keyFiles) {
    const text = await readKey(folder, name, from)
    await writeSecretFile(join(folder, name), to === undefined ? text : await sealSecret(name, text, await to()))
  }
}

/** Reads the keys of a log. Throws where one is missing, readable to others, sealed under another passphrase, or of another origin. */
export async function openKeys(folder: string, origin: string, unlock?: Unlock): Promise<LogKeys> {
  const skey = parseSkey((await readKey(folder, noteKeyFile, unlock)).trim(), publicKeyOf)
  if (skey.name !== origin) throw new Error(`${join(folder, noteKeyFile)}: key of ${skey.name}, want ${origin}`)
  const note = ed25519SignerFromSeed(skey.seed)
  const sth = p256Signer(await readKey(folder, sthKeyFile, unlock))
  const sealKey = parseHex((await readKey(folder, sealKeyFile, unlock)).trim())
  if (sealKey.length !== 32) throw new Error(`${join(folder, sealKeyFile)}: want 32 bytes in hex`)
  return {
    signing: { note: { name: skey.name, keyId: skey.keyId, sign: note.sign }, sth },
    sealKey,
    vkey: formatVkey(namedKey(origin, ed25519KeyType, note.publicKey)),
    sthPublicKey: formatBase64(sth.spki),
    logId: formatBase64(logId(sth.spki)),
  }
}

async function createFile(folder: string, name: string, text: string, unlock: Unlock): Promise<void> {
  const path = join(folder, name)
  if ((await readSecretFile(path)) !== undefined) return
  await writeSecretFile(path, unlock === undefined ? text : await sealSecret(name, text, await unlock()))
}

async function readKey(folder: string, name: string, unlock: Unlock): Promise<string> {
  const path = join(folder, name)
  const text = await readSecretFile(path)
  if (text === undefined) throw new Error(`${path}: missing; without its keys the log cannot go on`)
  if (!isSealedSecret(text)) return text
  if (unlock === undefined) throw new Error(`${path}: is encrypted; set DENDROLOG_KEY_PASSPHRASE_COMMAND`)
  try {
    return await openSecret(name, text, await unlock())
  } catch (cause) {
    throw new Error(`DENDROLOG_KEY_PASSPHRASE_COMMAND: ${path}: ${(cause as Error).message}`, { cause })
  }
}

function publicKeyOf(seed: Uint8Array): Uint8Array {
  return ed25519SignerFromSeed(seed).publicKey
}
