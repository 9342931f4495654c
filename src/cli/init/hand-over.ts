import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Config } from '../../config.ts'
import { keysFolderOf, tokenFilePath } from '../../instance.ts'
import { openCell } from '../../log/cell-place.ts'
import { readLogFile } from '../../log/log-file.ts'
import { cellPlaceOf } from '../../signer-state.ts'
import { readSecretFile, writeSecretFile } from '../../store/secret-file.ts'

/** What makes a server of the log: without the first three it is none. */
export const keyFiles = ['note-key', 'sth-key.pem', 'seal-key'] as const
/** Passwords of the roles, where this log's servers make them. */
export const rolesFile = 'roles.json'
export const tokensFile = 'tokens.json'
/** The note of a checkpoint. */
export const checkpointFile = 'checkpoint'

/**
 * Copies what a further server needs to a new folder of mode 0700, files of mode 0600: private keys, seal key, the
 * roles' passwords, tokens, and the note of the newest checkpoint. Nothing of the log changes; a server may run.
 */
export async function handOver(config: Config, folder: string): Promise<string> {
  const log = await readLogFile(config.dataDir)
  if (log?.state !== 'ready') throw new Error(`${resolve(config.dataDir)} holds no log`)
  await makeEmptyFolder(folder)
  const cell = openCell(cellPlaceOf(config), log.origin)
  try {
    const last = await cell.read()
    if (last === undefined) throw new Error('the signer remembers nothing: there is no checkpoint to hand over')
    for (const name of [...keyFiles, rolesFile]) await copySecret(join(keysFolderOf(config), name), join(folder, name))
    await copySecret(tokenFilePath(config), join(folder, tokensFile))
    await writeSecretFile(join(folder, checkpointFile), last.note)
  } finally {
    await cell.close()
  }
  return log.origin
}

/** Whether there was something to copy. */
export async function copySecret(from: string, to: string): Promise<boolean> {
  const text = await readSecretFile(from)
  if (text !== undefined) await writeSecretFile(to, text)
  return text !== undefined
}

async function makeEmptyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0) throw new Error(`${resolve(folder)} is not empty; name a new folder`)
}
