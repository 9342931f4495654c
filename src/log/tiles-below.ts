import type { Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import type { TilePart } from '../../tlog/tile-nodes.ts'
import { Batched } from '../ops/batched.ts'
import type { Schema } from '../store/batch.ts'
import type { Pool } from '../store/session.ts'
import { type FullTilePlace, type PartPlace, readPartsAt, readTilesAt } from '../store/tile-batches.ts'
import { openTileStore } from '../store/tile-store.ts'
import type { TilesBelow } from './tile-cache.ts'

/** Of one statement: 256 KiB of tiles, 256 KiB of parts. */
const tilesMax = 32
const partsMax = 256
/** Statements at once of each kind: the pool is others' too. */
const underwayMax = 2

type Perhaps<T> = T | undefined | Promise<T | undefined>

/** Full tiles that need no database; undefined where there is none, or not as it was written. */
export type TileFilesReader = {
  readonly readTile: (place: FullTilePlace) => Perhaps<Uint8Array>
  readonly readPart: (place: FullTilePlace, group: number) => Perhaps<TilePart>
}

/** Full tiles from files, and the rest from below. */
export function filesBefore(files: TileFilesReader | undefined, below: TilesBelow): TilesBelow {
  if (files === undefined) return below
  return {
    ...below,
    readFiled: (level, index) => files.readTile({ level, index }),
    readPart: (level, index, group) => {
      const filed = files.readPart({ level, index }, group)
      if (!(filed instanceof Promise)) return filed ?? below.readPart(level, index, group)
      return filed.then((part) => part ?? below.readPart(level, index, group))
    },
  }
}

/** Tiles of the database; those that are wanted at the same time are read together. */
export function openTilesBelow({ query, queryNamed }: Pool, schema: Schema, hash: Sha256): TilesBelow {
  const store = openTileStore(query, schema, hash)
  const tiles = new Batched<FullTilePlace, Uint8Array>(
    (places) => eachAlone(places, (some) => readTilesAt(queryNamed, schema, some)),
    tilesMax,
    underwayMax,
  )
  const parts = new Batched<PartPlace, TilePart | undefined>(
    (places) => eachAlone(places, (some) => readPartsAt(queryNamed, schema, some)),
    partsMax,
    underwayMax,
  )
  return {
    readTile: (level, index, width) =>
      width === tileWidth ? tiles.get({ level, index }) : store.readTile(level, index, width),
    readPart: (level, index, group) => parts.get({ level, index, group }),
  }
}

/** Where one is missing, the others are there for those who want them. */
async function eachAlone<P, T>(
  places: readonly P[],
  read: (places: readonly P[]) => Promise<readonly T[]>,
): Promise<readonly (T | Promise<T>)[]> {
  try {
    return await read(places)
  } catch (error) {
    if (!(error instanceof RangeError) || places.length === 1) throw error
    return places.map(async (place) => (await read([place]))[0] as T)
  }
}
