// Where the settings put the signer's memory. Shared by `serve` and `init`.
import { join, resolve } from 'node:path'
import { type Config, ConfigError } from './config.ts'
import type { CellPlace } from './log/cell-place.ts'
import { readTableCellFacts } from './log/table-cell.ts'
import type { Query } from './store/session.ts'

const setting = 'DENDROLOG_SIGNER_STATE'

/** Where the signer remembers what it signed last. */
export function cellPlaceOf({ signerState, dataDir, objectStore }: Config): CellPlace {
  const text = signerState ?? join(dataDir, 'signer-state.json')
  if (/^postgres(ql)?:\/\//.test(text)) return { kind: 'table', url: text }
  const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(text) ?? []
  if (bucket === undefined || key === undefined) return { kind: 'file', path: text }
  return { kind: 'object', bucket, key, ...objectStore }
}

/** Throws ConfigError unless the memory outlives the log's database, whose login is `log`, and a power cut. */
export async function checkCellPlace(config: Config, place: CellPlace, log: Query): Promise<void> {
  if (place.kind !== 'table') return
  const { isOfLog, unsafe } = await readTableCellFacts({ connectionString: place.url }, log).catch((cause: Error) => {
    throw new ConfigError(setting, cause.message, { cause })
  })
  if (isOfLog) {
    throw new ConfigError(
      setting,
      "this is the log's own database: whoever restores an older one would restore the memory with it. Use another, " +
        'on another server, with backups of its own',
    )
  }
  if (unsafe.length === 0 || config.allowUnsafeDatabase) return
  throw new ConfigError(setting, `that database has ${unsafe.join(' and ')}: a power cut could lose the memory`)
}

/** A place as messages may name it, without secrets. */
export function nameOfPlace(place: CellPlace): string {
  switch (place.kind) {
    case 'file':
      return resolve(place.path)
    case 'table':
      return 'the database of DENDROLOG_SIGNER_STATE'
    case 'object':
      return `s3://${place.bucket}/${place.key}`
  }
}

/** Why a log without its memory does not start, and what to do. */
export function noMemory(place: CellPlace): string {
  const name = nameOfPlace(place)
  if (place.kind !== 'file') {
    return (
      `${name} holds nothing of this log: its memory is not there yet, or not any more. \`dendrolog init --move-cell ` +
      `FILE\` moves it there, FILE being where the signer remembered so far (signer-state.json in the data folder of the ` +
      `first server, unless set otherwise). What was there before must be put back: ${signsNothing}`
    )
  }
  return (
    `${name} is missing: ${signsNothing}. Put that file back, or set this to where it is, or to where ` +
    '`dendrolog init --move-cell` moved it; an older copy of it is of use only if the log has signed nothing since'
  )
}

const signsNothing = 'the signer remembers nothing, and does not sign what might contradict what it signed before'
