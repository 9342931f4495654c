import type { Sha256 } from '../../tlog/hash.ts'
import type { TilePart } from '../../tlog/tile-nodes.ts'
import { Batched } from '../ops/batched.ts'
import type { Schema } from '../store/batch.ts'
import type { Pool } from '../store/session.ts'
import { eachAlone, type FullTilePlace, type PartPlace, readPartsAt } from '../store/tile-batches.ts'
import { openTileStore } from '../store/tile-store.ts'
import type { TilesBelow } from './tile-cache.ts'

/** Of one statement: 256 KiB. */
const partsMax = 256
/** Statements at once: the pool is others' too. */
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
  const store = openTileStore(query, schema, hash, queryNamed)
  const parts = new Batched<PartPlace, TilePart | undefined>(
    eachAlone((places) => readPartsAt(queryNamed, schema, places)),
    partsMax,
    underwayMax,
  )
  return { ...store, readPart: (level, index, group) => parts.get({ level, index, group }) }
}
