import { join, resolve } from 'node:path'
import { type Checkpoint, openCheckpoint, parseCheckpoint } from '../../../tlog/checkpoint.ts'
import { asTreeSize, type TreeSize } from '../../../tlog/coords.ts'
import type { Hash } from '../../../tlog/hash.ts'
import { parseNote } from '../../../tlog/note.ts'
import { checkEdge, edgeFromTiles } from '../../../tlog/tree-edge.ts'
import { type Config, ConfigError } from '../../config.ts'
import {
  connectionsOfRoles,
  keysFolderOf,
  openLogins,
  type RoleConnections,
  schemaNames,
  tokenFilePath,
  unlockOf,
  withPool,
} from '../../instance.ts'
import { isShared, openCell } from '../../log/cell-place.ts'
import { checkSigned, verifierOf } from '../../log/follow-checkpoints.ts'
import { isMismatch } from '../../log/incident.ts'
import { readLogFile, writeLogFile } from '../../log/log-file.ts'
import { type LogKeys, openKeys } from '../../log/log-keys.ts'
import { isSealed } from '../../log/seal.ts'
import { checkExtends } from '../../log/signer.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import type { Unlock } from '../../ops/passphrase.ts'
import { cellPlaceOf, checkCellPlace, noMemory } from '../../signer-state.ts'
import type { StoredCheckpoint } from '../../store/checkpoints.ts'
import { claimDataFolder } from '../../store/embedded.ts'
import { readNewestHead } from '../../store/heads.ts'
import { loadOrCreateRoles } from '../../store/roles.ts'
import { readSecretFile } from '../../store/secret-file.ts'
import type { Query } from '../../store/session.ts'
import { openTileStore } from '../../store/tile-store.ts'
import { checkpointFile, copySecret, keyFiles, rolesFile, tokensFile } from './hand-over.ts'

export type Joined = { readonly origin: string; readonly keys: LogKeys }

type HandedOver = Joined & { readonly checkpoint: Checkpoint }

/**
 * Makes the data folder of a further server from what was handed over in `folder`. Before anything is written, keys,
 * database, shared cell and checkpoint are compared: all of one log, each extending the other. The order of writing is
 * that of a first start: what says that the folder is complete comes last.
 */
export async function joinLog(config: Config, folder: string): Promise<Joined> {
  if (!isShared(cellPlaceOf(config))) throw new ConfigError('DENDROLOG_SIGNER_STATE', noFile)
  const free = await claimDataFolder(config.dataDir)
  try {
    if ((await readLogFile(config.dataDir)) !== undefined) {
      throw new ConfigError('DENDROLOG_DATA_DIR', `${resolve(config.dataDir)} holds a log already; set a new folder`)
    }
    const handed = await readHandedOver(folder, unlockOf(config))
    const { signer } = await openConnections(config, folder)
    await withPool(signer, (query) => checkOneLog(config, handed, query))
    for (const name of keyFiles) await copySecret(join(folder, name), join(keysFolderOf(config), name))
    if (config.databaseUrl !== undefined) {
      await copySecret(join(folder, rolesFile), join(keysFolderOf(config), rolesFile))
    }
    await copySecret(join(folder, tokensFile), tokenFilePath(config))
    await writeLogFile(config.dataDir, { origin: handed.origin, state: 'ready' })
    return handed
  } finally {
    await free()
  }
}

const noFile =
  'is a file, which is for one server. Move it to a place that several servers share (`dendrolog init --move-cell`), ' +
  'and set this to that place for each of them'

const noteBytesMax = 1_048_576

async function readHandedOver(folder: string, unlock: Unlock): Promise<HandedOver> {
  const file = join(folder, checkpointFile)
  const note = await readGivenFile(file, noteBytesMax).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${file}: the note of a checkpoint is wanted there (${cause.code ?? cause.message})`, { cause })
  })
  const { origin } = parseCheckpoint(parseNote(note).text)
  const keys = await openKeys(folder, origin, unlock)
  return { origin, keys, checkpoint: openCheckpoint(note, origin, [verifierOf(keys)]).checkpoint }
}

/** A server that makes passwords of its own would lock the others out. */
async function openConnections(config: Config, folder: string): Promise<RoleConnections> {
  const { databaseUrl, roleUrls } = config
  if (roleUrls !== undefined && databaseUrl === undefined) return openLogins(config, roleUrls)
  if (databaseUrl === undefined) {
    throw new ConfigError(
      'DATABASE_URL',
      'is not set: an embedded PostgreSQL is for one server, so there is none to join',
    )
  }
  const roles = join(folder, rolesFile)
  if ((await readSecretFile(roles)) === undefined) {
    throw new Error(`${roles}: missing; hand over the first server's, or set the roles' logins instead of DATABASE_URL`)
  }
  return connectionsOfRoles(config, { connectionString: databaseUrl }, await loadOrCreateRoles(roles))
}

/** `query` is of the signer's login. A server may be at work: the memory is read before the head, which is never behind. */
async function checkOneLog(config: Config, { origin, keys, checkpoint }: HandedOver, query: Query): Promise<void> {
  const last = await readMemory(config, origin, query)
  checkSigned({ origin, keys }, last)
  const schema = schemaNames(config)
  const head = await readNewestHead(query, schema)
  if (head === undefined) throw new ConfigError('DATABASE_URL', 'this database holds no log')
  if (!isSealed(keys.sealKey, origin, head)) {
    throw new ConfigError('DATABASE_URL', `the head of this database is not sealed by the seal key of ${origin}`)
  }
  checkExtends(head, last)
  if (checkpoint.size > last.treeSize) {
    throw new Error(
      `the signer state remembers ${last.treeSize} entries, the checkpoint has ${checkpoint.size}: ROLLBACK`,
    )
  }
  const tiles = openTileStore(query, schema, nativeSha256)
  const trees = [checkpoint, { size: asTreeSize(last.treeSize), root: last.root }]
  for (const { size, root } of trees) await checkBeginning(tiles, size, root)
}

async function readMemory(config: Config, origin: string, log: Query): Promise<StoredCheckpoint> {
  const place = cellPlaceOf(config)
  await checkCellPlace(config, place, log)
  const cell = openCell(place, origin)
  try {
    const last = await cell.read()
    if (last === undefined) throw new ConfigError('DENDROLOG_SIGNER_STATE', noMemory(place))
    return last
  } finally {
    await cell.close()
  }
}

async function checkBeginning(tiles: Parameters<typeof edgeFromTiles>[0], size: TreeSize, root: Hash): Promise<void> {
  try {
    const edge = await edgeFromTiles(tiles, size, nativeSha256)
    checkEdge(edge, root, nativeSha256)
  } catch (cause) {
    if (!isMismatch(cause)) throw cause
    throw new Error(`the database's first ${size} entries are not those that were signed: FORKED`, { cause })
  }
}
