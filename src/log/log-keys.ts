import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { formatBase64, formatHex, parseHex } from '../../tlog/bytes.ts'
import { ed25519KeyType, formatSkey, formatVkey, namedKey, namedSeed, parseSkey } from '../../tlog/note-key.ts'
import { logId } from '../../tlog/sth.ts'
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

/** Makes the keys that are missing in `folder`, each a file of mode 0600, durably. Existing ones stay. */
export async function createKeys(folder: string, origin: string): Promise<void> {
  const seed = generateEd25519Seed()
  const skey = formatSkey(namedSeed(origin, ed25519KeyType, seed, publicKeyOf))
  await createFile(join(folder, noteKeyFile), `${skey}\n`)
  await createFile(join(folder, sthKeyFile), generateP256Pem())
  await createFile(join(folder, sealKeyFile), `${formatHex(randomBytes(32))}\n`)
}

/** Reads the keys of a log. Throws where one is missing, readable to others, or of another origin. */
export async function openKeys(folder: string, origin: string): Promise<LogKeys> {
  const skey = parseSkey((await readKey(folder, noteKeyFile)).trim(), publicKeyOf)
  if (skey.name !== origin) throw new Error(`${join(folder, noteKeyFile)}: key of ${skey.name}, want ${origin}`)
  const note = ed25519SignerFromSeed(skey.seed)
  const sth = p256Signer(await readKey(folder, sthKeyFile))
  const sealKey = parseHex((await readKey(folder, sealKeyFile)).trim())
  if (sealKey.length !== 32) throw new Error(`${join(folder, sealKeyFile)}: want 32 bytes in hex`)
  return {
    signing: { note: { name: skey.name, keyId: skey.keyId, sign: note.sign }, sth },
    sealKey,
    vkey: formatVkey(namedKey(origin, ed25519KeyType, note.publicKey)),
    sthPublicKey: formatBase64(sth.spki),
    logId: formatBase64(logId(sth.spki)),
  }
}

async function createFile(path: string, text: string): Promise<void> {
  if ((await readSecretFile(path)) === undefined) await writeSecretFile(path, text)
}

async function readKey(folder: string, name: string): Promise<string> {
  const text = await readSecretFile(join(folder, name))
  if (text === undefined) throw new Error(`${join(folder, name)}: missing; without its keys the log cannot go on`)
  return text
}

function publicKeyOf(seed: Uint8Array): Uint8Array {
  return ed25519SignerFromSeed(seed).publicKey
}
