import { concatBytes } from '../../tlog/bytes.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { Batched } from '../ops/batched.ts'
import type { Schema } from './batch.ts'
import { readBytes, readHash } from './row.ts'
import type { NamedQuery, Query } from './session.ts'
import { eachAlone, type FullTilePlace, readTilesAt } from './tile-batches.ts'

/** Of one statement: 256 KiB. */
const tilesMax = 32
/** Statements at once: a pool is others' too. */
const underwayMax = 2

/**
 * Tiles from the database. Full tiles are stored, and those that are wanted at the same time are read together; a
 * partial one is cut from the leaf hashes (level 0) or made of the roots of the full tiles below it. What comes back is
 * not checked here; RangeError where something is missing.
 */
export function openTileStore(
  query: Query,
  schema: Schema,
  hash: Sha256,
  queryNamed: NamedQuery = (_, text, values) => query(text, values),
): TileReader {
  const full = new Batched(
    eachAlone((places: readonly FullTilePlace[]) => readTilesAt(queryNamed, schema, places)),
    tilesMax,
    underwayMax,
  )
  return {
    async readTile(level, index, width) {
      if (width === tileWidth) return full.get({ level, index })
      if (level === 0) return readLeafHashes(query, schema, index * tileWidth, width)
      const below = await readFullTiles(query, schema, level - 1, index * tileWidth, width)
      return concatBytes(...below.map((tile) => rootOfFullTile(tile, hash)))
    },
  }
}

/** `count` full tiles of a level from `index` on; throws RangeError where one is missing. */
async function readFullTiles(
  query: Query,
  schema: Schema,
  level: number,
  index: number,
  count: number,
): Promise<Uint8Array[]> {
  const rows = await query(
    `select hashes
     from ${schema.evidence}.tiles
     where level = $1 and tile_index >= $2 and tile_index < $3
     order by tile_index`,
    [level, index, index + count],
  )
  if (rows.length !== count) {
    throw new RangeError(`tiles ${index} to ${index + count - 1} of level ${level}: ${rows.length} of ${count} found`)
  }
  return rows.map((row) => readBytes(row, 'hashes'))
}

/** Leaf hashes of the entries of leaf index `first` on, 32 bytes each; throws RangeError where one is missing. */
export async function readLeafHashes(query: Query, schema: Schema, first: number, count: number): Promise<Uint8Array> {
  const rows = await query(
    `select leaf_hash
     from ${schema.evidence}.audit_logs
     where sequence_number > $1 and sequence_number <= $2
     order by sequence_number`,
    [first, first + count],
  )
  if (rows.length !== count) {
    throw new RangeError(`leaf hashes ${first} to ${first + count - 1}: ${rows.length} of ${count} found`)
  }
  return concatBytes(...rows.map((row) => readHash(row, 'leaf_hash')))
}
