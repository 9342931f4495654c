import { asTreeSize } from '../../tlog/coords.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { checkEdge, edgeFromTiles, type TreeEdge } from '../../tlog/tree-edge.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readClock, readWriterHead, type WriterHead } from '../store/heads.ts'
import type { Query } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'
import { batchTimestamp, type DatabaseTime } from './clock.ts'
import { isMismatch, LogIncident } from './incident.ts'
import type { LogState } from './integrate.ts'
import type { LogKeys } from './log-keys.ts'
import type { LogOptions } from './log-options.ts'
import { isSealed } from './seal.ts'
import { checkExtends } from './signer.ts'
import { describeDamage, type StoredTree } from './tile-damage.ts'

/**
 * What a sequencer may build on: the newest head, checked. Its seal, that it extends what was `lastSigned`, that no
 * rows or tiles are above it, on which commits would fail for ever, the clocks, and the edge of the tree as the stored tiles give it. Sets the database's time.
 */
export async function readLogState(
  options: LogOptions,
  writer: Query,
  tiles: Query,
  lastSigned: StoredCheckpoint,
  databaseTime: DatabaseTime,
): Promise<LogState> {
  const { schema, hash, clock } = options
  const newest = await readSealedHead(options, writer)
  const { head } = newest
  // The writer's login may lead to another database than the signer's.
  checkExtends(head, lastSigned)
  checkNothingAbove(newest)
  databaseTime.set(await readClock(writer))
  batchTimestamp(clock(), databaseTime.now(), head.newestTimestamp)
  return stateOf(head, await readEdge({ query: tiles, schema, hash }, head))
}

/** The newest head with the edge of its tree, checked as above, but for what was signed of it and for the clocks. */
export async function readSealedState(
  log: SealedLog & { readonly hash: Sha256; readonly writer: Query; readonly signer: Query },
): Promise<LogState> {
  const newest = await readSealedHead(log, log.writer)
  checkNothingAbove(newest)
  const { signer: query, schema, hash } = log
  return stateOf(newest.head, await readEdge({ query, schema, hash }, newest.head))
}

type SealedLog = {
  readonly origin: string
  readonly keys: Pick<LogKeys, 'sealKey'>
  readonly schema: Schema
}

async function readSealedHead({ origin, keys, schema }: SealedLog, writer: Query): Promise<WriterHead> {
  const newest = await readWriterHead(writer, schema)
  if (newest === undefined) throw new LogIncident('ROLLBACK', 'the database has no log')
  if (isSealed(keys.sealKey, origin, newest.head)) return newest
  throw new LogIncident('FORGED_HEAD', `the head of size ${newest.head.treeSize} has no valid seal`)
}

function stateOf({ root, chainHash, newestTimestamp }: TreeHead, edge: TreeEdge): LogState {
  return { edge, root, chainHash, newestTimestamp }
}

/** ROOT_MISMATCH where the stored tiles are not those of the head. */
async function readEdge(tree: StoredTree, { treeSize, root }: TreeHead): Promise<TreeEdge> {
  const { query, schema, hash } = tree
  const size = asTreeSize(treeSize)
  try {
    const edge = await edgeFromTiles(openTileStore(query, schema, hash), size, hash)
    checkEdge(edge, root, hash)
    return edge
  } catch (cause) {
    if (!isMismatch(cause)) throw cause
    const damage = await describeDamage(tree, size, root)
    const detail = damage ?? `the head of size ${size} is not the root of its tiles`
    throw new LogIncident('ROOT_MISMATCH', detail, { cause })
  }
}

function checkNothingAbove({ head, lastSequenceNumber, strayTile }: WriterHead): void {
  if (lastSequenceNumber > head.treeSize) {
    throw new LogIncident('UNSEALED_ROWS', `the ledger has ${lastSequenceNumber} rows, the head ${head.treeSize}`)
  }
  if (strayTile === undefined) return
  const { level, index } = strayTile
  throw new LogIncident('UNSEALED_ROWS', `tile ${index} of level ${level} is not of the ${head.treeSize} entries`)
}
