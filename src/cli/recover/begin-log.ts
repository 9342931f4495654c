import { resolve } from 'node:path'
import { type Config, ConfigError } from '../../config.ts'
import { type Instance, openDatabase, openInstance, withPool } from '../../instance.ts'
import { hasLog } from '../../log/create.ts'
import { type Ending, readEnding } from '../../log/ending.ts'
import { readLogFile, writeLogFile } from '../../log/log-file.ts'
import { readGivenFile } from '../../ops/given-file.ts'

export type Begun = { readonly instance: Instance; readonly ending: Ending }

const fileBytesMax = 1_048_576

/**
 * Makes the log that comes after an ended one, by settings of its own: another data folder, another database or schema.
 * Its first entry is the log's own act. May be repeated after a crash; any start finishes it too.
 */
export async function beginLog(config: Config, file: string, signal: AbortSignal): Promise<Begun> {
  const ending = await readEndingFile(file)
  if (config.origin !== undefined && config.origin !== ending.newOrigin) {
    throw new ConfigError('DENDROLOG_ORIGIN', `the log after ${ending.origin} is ${ending.newOrigin}; leave it unset`)
  }
  const found = await readLogFile(config.dataDir)
  if (found !== undefined && !(found.state === 'creating' && found.succeeds?.origin === ending.origin)) {
    const which = found.state === 'ended' ? 'an ended log' : 'a log'
    throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(config.dataDir)} holds ${which} already; set a new folder`)
  }
  const database = await openDatabase(config, () => {}, signal)
  try {
    if (found === undefined) {
      const isStored = await withPool(database.connections.writer, (writer) => hasLog(writer, database.schema))
      if (isStored)
        throw new ConfigError('DATABASE_URL', 'this database holds a log already: use another, or a new schema')
      await writeLogFile(config.dataDir, { origin: ending.newOrigin, state: 'creating', succeeds: ending })
    }
    const instance = await openInstance(config, database, Date.now())
    await instance.cell.close()
    return { instance, ending }
  } finally {
    await database.close()
  }
}

async function readEndingFile(file: string): Promise<Ending> {
  const text = (await readGivenFile(file, fileBytesMax)).toString('utf8')
  try {
    return readEnding(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${resolve(file)}: is not what --end-log wrote`, { cause })
  }
}
