import { createPublicKey, type KeyObject } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseBase64 } from '../../tlog/bytes.ts'
import { formatKeyId, parseVkey } from '../../tlog/note-key.ts'
import { readSetting } from '../config.ts'
import { endedKeysFolderOf, keysFolderOf } from '../instance.ts'
import { readLogFile } from '../log/log-file.ts'
import { keyFiles, type LogKeys, openKeys, rewriteKeys } from '../log/log-keys.ts'
import { type Unlock, unlockBy } from '../ops/passphrase.ts'
import { ed25519Spki } from '../ops/signing.ts'
import { readPassphraseCommand } from '../signer-settings.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { explainStart } from './explain-start.ts'

export const keysCommand: Command = {
  summary: 'show the public keys of the log in the data folder, export them, or encrypt the private ones',
  synopsis: 'show [--json] | export [--format vkey|pem|jwk|spki] [--json] | encrypt | decrypt',
  help: `Reads the keys in DENDROLOG_DATA_DIR and prints what auditors may know of them, never a private key. Needs neither
server nor database. Like the server it refuses key files that others than their owner may read.

  show              origin, vkey, the key of the STHs, the log id, and where the key files are, with their modes
  export            the public keys, for \`check\`, monitors and auditors, as
    --format vkey   the key of checkpoints and acts, C2SP verifier key (Ed25519); the default
    --format spki   the key of the STHs, base64 of DER SubjectPublicKeyInfo (ECDSA P-256), as GET /v1/log has it
    --format pem    both as PEM, checkpoints first
    --format jwk    both as a JWK Set (RFC 7517): kid is the vkey's key id, or the RFC 6962 log id
  encrypt           the key files, under the passphrase that DENDROLOG_KEY_PASSPHRASE_COMMAND says (scrypt, AES-256-GCM); a
                    server reads them as before while it has that setting
    --old-passphrase-command COMMAND
                    they are encrypted already, under the passphrase that this one says
  decrypt           the key files, as they were before
  --json            {"origin", "vkey", "sthPublicKey", "logId", "files": [{path, mode, use}]}; of export {"format", "keys"},
                    a list of texts, or of JWKs`,
  run: explainStart(runKeys),
}

const formats = ['vkey', 'pem', 'jwk', 'spki'] as const
type Format = (typeof formats)[number]

async function runKeys(args: readonly string[]): Promise<ExitStatus> {
  const old = 'old-passphrase-command'
  const options = { format: { type: 'string' }, json: { type: 'boolean' }, [old]: { type: 'string' } } as const
  const { values, positionals } = parseArguments(args, options, 1)
  const [what] = positionals
  const isJson = values.json === true
  if (what !== 'export' && values.format !== undefined) throw new UsageError('--format is for export')
  if (what !== 'encrypt' && values[old] !== undefined) throw new UsageError('--old-passphrase-command is for encrypt')
  if (what === 'export') return exportKeys(readFormat(values.format ?? 'vkey'), isJson)
  if (what === 'show') return showKeys(isJson)
  if (what === 'encrypt') return encryptKeys(values[old], isJson)
  if (what === 'decrypt') return decryptKeys(isJson)
  throw new UsageError('want show, export, encrypt or decrypt')
}

function readFormat(text: string): Format {
  const format = formats.find((each) => each === text)
  if (format === undefined) throw new UsageError(`--format: want one of ${formats.join(', ')}`)
  return format
}

async function showKeys(isJson: boolean): Promise<ExitStatus> {
  const { origin, keys, folder } = await openFolder()
  const { vkey, sthPublicKey, logId } = keys
  const files = await Promise.all(keyFiles.map(({ name, use }) => describeFile(resolve(folder, name), use)))
  if (isJson) printJson({ origin, vkey, sthPublicKey, logId, files })
  else {
    const lines = files.map(({ path, mode, use }) => `  ${mode}  ${visibleText(path)}  ${use}`)
    printLine(`origin    ${origin}
vkey      ${vkey}
STH key   ${sthPublicKey}
log id    ${logId}
private keys (back them up; they cannot be replaced)
${lines.join('\n')}`)
  }
  return exitHolds
}

async function exportKeys(format: Format, isJson: boolean): Promise<ExitStatus> {
  const { keys } = await openFolder()
  const exported = exporters[format](keys)
  if (isJson) printJson({ format, keys: exported })
  else printLine(format === 'jwk' ? JSON.stringify({ keys: exported }, null, 2) : exported.join('\n'))
  return exitHolds
}

const exporters: Readonly<Record<Format, (keys: LogKeys) => readonly (string | object)[]>> = {
  vkey: ({ vkey }) => [vkey],
  spki: ({ sthPublicKey }) => [sthPublicKey],
  pem: (keys) => publicKeysOf(keys).map(({ key }) => key.export({ format: 'pem', type: 'spki' }).toString().trimEnd()),
  jwk: (keys) =>
    publicKeysOf(keys).map(({ key, kid, alg }) => ({ ...key.export({ format: 'jwk' }), use: 'sig', alg, kid })),
}

type PublicKey = { readonly key: KeyObject; readonly kid: string; readonly alg: 'EdDSA' | 'ES256' }

function publicKeysOf({ vkey, sthPublicKey, logId }: LogKeys): PublicKey[] {
  const note = parseVkey(vkey)
  return [
    { key: importSpki(ed25519Spki(note.publicKey)), kid: formatKeyId(note.keyId), alg: 'EdDSA' },
    { key: importSpki(parseBase64(sthPublicKey)), kid: logId, alg: 'ES256' },
  ]
}

function importSpki(spki: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
}

/** Under the passphrase of the setting; from plain files, or from those under an older one. */
async function encryptKeys(old: string | undefined, isJson: boolean): Promise<ExitStatus> {
  const unlock = passphraseOfSetting()
  if (unlock === undefined) throw new Error('DENDROLOG_KEY_PASSPHRASE_COMMAND: is not set; it says the passphrase')
  const from = old === undefined ? unlock : unlockBy(readPassphraseCommand('--old-passphrase-command', old))
  const { folder } = await openFolder(from)
  await rewriteKeys(folder, from, unlock)
  return tellRewritten(folder, 'encrypted', isJson)
}

async function decryptKeys(isJson: boolean): Promise<ExitStatus> {
  const unlock = passphraseOfSetting()
  const { folder } = await openFolder(unlock)
  await rewriteKeys(folder, unlock, undefined)
  return tellRewritten(folder, 'decrypted', isJson)
}

function tellRewritten(folder: string, done: 'encrypted' | 'decrypted', isJson: boolean): ExitStatus {
  const files = keyFiles.map(({ name }) => resolve(folder, name))
  if (isJson) printJson({ done, files })
  else printLine(`${done}:\n${files.map((path) => `  ${visibleText(path)}`).join('\n')}`)
  return exitHolds
}

function passphraseOfSetting(): Unlock {
  const name = 'DENDROLOG_KEY_PASSPHRASE_COMMAND'
  return unlockBy(readPassphraseCommand(name, readSetting(name)))
}

type Folder = { readonly origin: string; readonly keys: LogKeys; readonly folder: string }

/** One setting only: keys are shown also where another setting is bad. */
async function openFolder(unlock: Unlock = passphraseOfSetting()): Promise<Folder> {
  const dataDir = readSetting('DENDROLOG_DATA_DIR')
  const found = await readLogFile(dataDir)
  if (found === undefined || found.state === 'creating') {
    throw new Error(`DENDROLOG_DATA_DIR: ${resolve(dataDir)} holds no log; set the folder of one, or make it by init`)
  }
  const folder = found.state === 'ended' ? endedKeysFolderOf({ dataDir }) : keysFolderOf({ dataDir })
  return { origin: found.origin, keys: await openKeys(folder, found.origin, unlock), folder }
}

async function describeFile(path: string, use: string): Promise<{ path: string; mode: string; use: string }> {
  const { mode } = await lstat(path)
  return { path, mode: (mode % 0o1000).toString(8).padStart(4, '0'), use }
}
