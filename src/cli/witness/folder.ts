// The folder of a witness: `witness-key` and `witness-key-ml-dsa`, its private keys; `logs`, whom it witnesses; `cosigned`,
// what it must never forget.
import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { CosigningKey } from '../../../tlog/cosignature.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { textVerifier } from '../../../tlog/note.ts'
import {
  cosignatureKeyType,
  ed25519KeyType,
  formatSkey,
  mlDsaKeyType,
  namedKey,
  namedSeed,
  parseSkey,
  parseVkey,
  type SignerKey,
  type VerifierKey,
} from '../../../tlog/note-key.ts'
import { mlDsa44SignerFromSeed } from '../../ops/ml-dsa.ts'
import { ed25519SignerFromSeed, generateEd25519Seed, nodeSignatureCheck } from '../../ops/signing.ts'
import { createSecretFile, readSecretFile, writeSecretFile } from '../../store/secret-file.ts'
import type { LogToWitness } from '../../witness/witness.ts'

/** As people call them. */
export type WitnessKeyKind = 'ed25519' | 'ml-dsa'

const keyFiles: readonly { readonly kind: WitnessKeyKind; readonly name: string; readonly type: SignerKey['type'] }[] =
  [
    { kind: 'ed25519', name: 'witness-key', type: cosignatureKeyType },
    { kind: 'ml-dsa', name: 'witness-key-ml-dsa', type: mlDsaKeyType },
  ]

export const witnessKeyKinds: readonly WitnessKeyKind[] = keyFiles.map(({ kind }) => kind)

const logsFile = 'logs'

/** Makes the folder (0700) and the keys in it. Throws where there are keys already. */
export async function createWitness(
  dataDir: string,
  name: string,
  kinds: readonly WitnessKeyKind[],
): Promise<readonly CosigningKey[]> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  for (const { name: file, type } of keyFiles.filter(({ kind }) => kinds.includes(kind))) {
    const skey = formatSkey(namedSeed(name, type, generateEd25519Seed(), publicKeyOf))
    if (!(await createSecretFile(join(dataDir, file), `${skey}\n`))) {
      throw new Error(`${resolve(dataDir, file)}: is there already; a witness keeps its keys`)
    }
  }
  return openWitnessKeys(dataDir)
}

/** Throws where there is none, or one is readable to others, or not what its file says. */
export async function openWitnessKeys(dataDir: string): Promise<readonly CosigningKey[]> {
  const opened = await Promise.all(keyFiles.map(({ name, type }) => openKey(join(dataDir, name), type)))
  const keys = opened.filter((key) => key !== undefined)
  if (keys.length === 0) throw new Error(`${resolve(dataDir)}: no key of a witness; dendrolog witness init makes it`)
  return keys
}

/** Undefined where there is no such file. */
async function openKey(path: string, type: SignerKey['type']): Promise<CosigningKey | undefined> {
  const text = await readSecretFile(path)
  if (text === undefined) return undefined
  const skey = parseSkey(text.trim(), publicKeyOf)
  if (skey.type !== type) throw new Error(`${resolve(path)}: key of type ${skey.type}, want ${type}`)
  const { publicKey, sign } = signerOf(skey.seed, type)
  return { key: namedKey(skey.name, type, publicKey), sign }
}

function publicKeyOf(seed: Uint8Array, type: SignerKey['type']): Uint8Array {
  return signerOf(seed, type).publicKey
}

function signerOf(seed: Uint8Array, type: SignerKey['type']): ReturnType<typeof ed25519SignerFromSeed> {
  return type === mlDsaKeyType ? mlDsa44SignerFromSeed(seed) : ed25519SignerFromSeed(seed)
}

/** The logs that are witnessed: of lines `log VKEY [URL]`, several for one that has several keys. None where no file is. */
export async function readLogs(dataDir: string): Promise<readonly LogToWitness[]> {
  const path = join(dataDir, logsFile)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const keys = new Map<string, VerifierKey[]>()
  for (const [i, line] of text.split('\n').entries()) {
    const key = readLine(line, `${resolve(path)}, line ${i + 1}`)
    if (key !== undefined) keys.set(key.name, [...(keys.get(key.name) ?? []), key])
  }
  return [...keys].map(([origin, known]) => ({
    origin,
    verifiers: known.map((key) => textVerifier(key, nodeSignatureCheck)),
  }))
}

/** Adds a log; false where it is there. One that is witnessed stays what it is: a further key of it is one more. */
export async function addLog(dataDir: string, vkey: string, url: string | undefined): Promise<boolean> {
  const path = join(dataDir, logsFile)
  readLine(`log ${vkey}`, 'the log')
  const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  if (before.split('\n').some((line) => line.split(/\s+/)[1] === vkey)) return false
  const lines = before === '' || before.endsWith('\n') ? before : `${before}\n`
  await writeSecretFile(path, `${lines}log ${vkey}${url === undefined ? '' : ` ${url}`}\n`)
  return true
}

/** Undefined of a comment, or of nothing. */
function readLine(line: string, where: string): VerifierKey | undefined {
  const [keyword, vkey, , ...surplus] = line.trim().split(/\s+/)
  if (keyword === undefined || keyword === '' || keyword.startsWith('#')) return undefined
  if (keyword !== 'log' || vkey === undefined || surplus.length > 0) throw new Error(`${where}: want "log VKEY [URL]"`)
  try {
    const key = parseVkey(vkey)
    if (key.type === ed25519KeyType) return key
    throw new TlogError('malformed-key', `key of type ${key.type}, want ${ed25519KeyType}`)
  } catch (error) {
    if (error instanceof TlogError) throw new Error(`${where}: ${error.message}`, { cause: error })
    throw error
  }
}
