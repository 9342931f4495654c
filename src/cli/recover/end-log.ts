// The end of a log that cannot go on. First its cell says so, which every server asks before it signs; then its folder.
import { mkdir, rename } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { encodeUtf8 } from '../../../tlog/bytes.ts'
import { openCheckpoint } from '../../../tlog/checkpoint.ts'
import { type Config, ConfigError } from '../../config.ts'
import { endedKeysFolderOf, keysFolderOf, unlockOf } from '../../instance.ts'
import { openCell } from '../../log/cell-place.ts'
import { type Ending, LogEnded, reasonCharactersMax } from '../../log/ending.ts'
import { verifierOf } from '../../log/follow-checkpoints.ts'
import { readLogFile, writeLogFile } from '../../log/log-file.ts'
import { keyFiles, openKeys } from '../../log/log-keys.ts'
import type { OpenedCell } from '../../log/signer-cell.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { cellPlaceOf } from '../../signer-state.ts'
import { claimDataFolder } from '../../store/embedded.ts'
import { readSecretFile, syncFolder, writeSecretFile } from '../../store/secret-file.ts'
import { UsageError } from '../command.ts'
import { localIdentity } from '../local-state.ts'

export type EndRequest = {
  /** The log's name, as whoever ends it typed it. */
  readonly origin: string
  readonly newOrigin: string
  readonly reason: string
  /** File of a checkpoint that was seen elsewhere. */
  readonly checkpoint: string | undefined
}

export type Ended = { readonly ending: Ending; readonly file: string }

const noteBytesMax = 1_048_576

/** Ends the log of the data folder, whose server is stopped. May be repeated after a crash. */
export async function endLog(config: Config, request: EndRequest): Promise<Ended> {
  const free = await claimDataFolder(config.dataDir)
  try {
    const log = await readLogFile(config.dataDir)
    if (log === undefined || log.state === 'creating') {
      throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(config.dataDir)} holds no log`)
    }
    const { origin } = log
    if (request.origin !== origin) throw new UsageError(`--end-log: the log in this folder is ${origin}`)
    const ending = log.state === 'ended' ? log.ending : await endCell(config, request)
    const file = resolve(config.dataDir, 'ended.json')
    await writeSecretFile(file, `${JSON.stringify(ending, null, 2)}\n`)
    await writeLogFile(config.dataDir, { origin, state: 'ended', ending })
    await moveKeys(config)
    return { ending, file }
  } finally {
    await free()
  }
}

async function endCell(config: Config, { origin, newOrigin, reason, checkpoint }: EndRequest): Promise<Ending> {
  checkRequest(origin, newOrigin, reason)
  const { vkey } = await openKeys(keysFolderOf(config), origin, unlockOf(config))
  const cell = openCell(cellPlaceOf(config), origin)
  try {
    const last = await newestNote(cell, origin, vkey, checkpoint)
    const endedAt = new Date().toISOString()
    const ending = { origin, vkey, checkpoint: last, newOrigin, reason, by: localIdentity(), endedAt }
    await cell.end(ending)
    return ending
  } catch (error) {
    // This was begun before, and did not come to its end.
    if (error instanceof LogEnded) return error.ending
    throw error
  } finally {
    await cell.close()
  }
}

function checkRequest(origin: string, newOrigin: string, reason: string): void {
  if (!/^[^+\s\p{Cc}]{1,255}$/u.test(newOrigin)) throw new UsageError('--new-origin: want a name without spaces and +')
  if (newOrigin === origin) throw new UsageError('--new-origin: the new log needs another name')
  const length = [...reason].length
  if (length === 0 || length > reasonCharactersMax || reason.includes('\0') || !reason.isWellFormed()) {
    throw new UsageError(`--reason: want 1 to ${reasonCharactersMax} characters`)
  }
}

/** Of the memory or of the file, whichever is of the larger tree. */
async function newestNote(cell: OpenedCell, origin: string, vkey: string, file: string | undefined): Promise<string> {
  const last = await cell.read()
  const notes = last === undefined ? [] : [last.note]
  if (file !== undefined) notes.push((await readGivenFile(file, noteBytesMax)).toString('utf8'))
  if (notes.length === 0) {
    throw new UsageError(
      "the signer's memory is missing: name the last checkpoint that anybody saw, a monitor or a receipt (--checkpoint FILE)",
    )
  }
  const verifier = verifierOf({ vkey })
  const signed = notes.map((note) => ({
    note,
    size: openCheckpoint(encodeUtf8(note), origin, [verifier]).checkpoint.size,
  }))
  return signed.reduce((newest, each) => (each.size > newest.size ? each : newest)).note
}

/** Out of the place where a server looks for them. The seal key goes with them: the old ledger can still be verified. */
async function moveKeys(config: Config): Promise<void> {
  const [from, to] = [keysFolderOf(config), endedKeysFolderOf(config)]
  await mkdir(to, { recursive: true, mode: 0o700 })
  for (const { name } of keyFiles) {
    if ((await readSecretFile(join(from, name))) !== undefined) await rename(join(from, name), join(to, name))
  }
  await syncFolder(to)
  await syncFolder(from)
}
