import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { formatBase64, formatHex, parseHex } from '../../tlog/bytes.ts'
import { ed25519KeyType, formatSkey, formatVkey, namedSeed } from '../../tlog/note-key.ts'
import { logId } from '../../tlog/sth.ts'
import type { Unlock } from '../ops/passphrase.ts'
import { isSealedSecret, openSecret, sealSecret } from '../ops/secret-box.ts'
import { ed25519SignerFromSeed, generateEd25519Seed, generateP256Pem } from '../ops/signing.ts'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'
import { noteKeyAt, readNoteKey, readSthKey, sthKeyAt } from './key-file.ts'
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

/** Where new keys are to be, as URIs; here where there is none. */
export type KeyPlaces = { readonly note?: string | undefined; readonly sth?: string | undefined }

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
export async function createKeys(
  folder: string,
  origin: string,
  unlock?: Unlock,
  { note, sth }: KeyPlaces = {},
): Promise<void> {
  const newNote = async (): Promise<string> => (note === undefined ? newNoteKey(origin) : noteKeyAt(note, origin))
  const newSth = async (): Promise<string> => (sth === undefined ? generateP256Pem() : sthKeyAt(sth))
  await createFile(folder, noteKeyFile, newNote, unlock)
  await createFile(folder, sthKeyFile, newSth, unlock)
  await createFile(folder, sealKeyFile, async () => `${formatHex(randomBytes(32))}\n`, unlock)
}

function newNoteKey(origin: string): string {
  return `${formatSkey(namedSeed(origin, ed25519KeyType, generateEd25519Seed(), publicKeyOf))}\n`
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
  const { key, signer: note } = readNoteKey(await readKey(folder, noteKeyFile, unlock))
  if (key.name !== origin) throw new Error(`${join(folder, noteKeyFile)}: key of ${key.name}, want ${origin}`)
  const sth = readSthKey(await readKey(folder, sthKeyFile, unlock))
  const sealKey = parseHex((await readKey(folder, sealKeyFile, unlock)).trim())
  if (sealKey.length !== 32) throw new Error(`${join(folder, sealKeyFile)}: want 32 bytes in hex`)
  return {
    signing: { note, sth },
    sealKey,
    vkey: formatVkey(key),
    sthPublicKey: formatBase64(sth.spki),
    logId: formatBase64(logId(sth.spki)),
  }
}

async function createFile(folder: string, name: string, make: () => Promise<string>, unlock: Unlock): Promise<void> {
  const path = join(folder, name)
  if ((await readSecretFile(path)) !== undefined) return
  const text = await make()
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
