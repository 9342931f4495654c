import { rename } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Config, ConfigError } from '../../config.ts'
import { keysFolderOf, unlockOf, withPool } from '../../instance.ts'
import { isShared, openCell } from '../../log/cell-place.ts'
import { checkSigned } from '../../log/follow-checkpoints.ts'
import { readLogFile } from '../../log/log-file.ts'
import { openKeys } from '../../log/log-keys.ts'
import { cellPlaceOf, checkCellPlace, nameOfPlace } from '../../signer-state.ts'
import { claimDataFolder } from '../../store/embedded.ts'
import { syncFolder } from '../../store/secret-file.ts'

export type Moved = { readonly origin: string; readonly to: string; readonly kept: string }

/**
 * Moves the signer's memory from a file to the shared place of the settings, while the server is stopped. May be
 * repeated after a crash: first the new place has it, then the file gets another name, under which nobody looks for it.
 */
export async function moveCell(config: Config, file: string): Promise<Moved> {
  const place = cellPlaceOf(config)
  if (!isShared(place)) throw new ConfigError('DENDROLOG_SIGNER_STATE', 'is a file; set the place to move to')
  const free = await claimDataFolder(config.dataDir)
  try {
    const log = await readLogFile(config.dataDir)
    if (log?.state !== 'ready') throw new Error(`${resolve(config.dataDir)} holds no log`)
    const login = config.roleUrls?.writer ?? config.databaseUrl
    if (login !== undefined) {
      await withPool({ connectionString: login }, (query) => checkCellPlace(config, place, query))
    }
    await copyMemory(config, log.origin, file)
    const kept = `${file}.moved`
    await rename(file, kept)
    await syncFolder(dirname(resolve(file)))
    return { origin: log.origin, to: nameOfPlace(place), kept: resolve(kept) }
  } finally {
    await free()
  }
}

async function copyMemory(config: Config, origin: string, file: string): Promise<void> {
  const last = await openCell({ kind: 'file', path: file }, origin).read()
  if (last === undefined) throw new Error(`${resolve(file)}: is missing; name the file that the signer remembered in`)
  checkSigned({ origin, keys: await openKeys(keysFolderOf(config), origin, unlockOf(config)) }, last)
  const place = cellPlaceOf(config)
  const cell = openCell(place, origin)
  try {
    await cell.prepare()
    const found = await cell.read()
    if (found === undefined) return await cell.write(last)
    if (found.note !== last.note || found.number !== last.number) {
      throw new Error(`${nameOfPlace(place)} remembers checkpoint ${found.number} already, the file ${last.number}`)
    }
  } finally {
    await cell.close()
  }
}
