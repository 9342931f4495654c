import { hashBytes } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { midRootsBytes, midWidth, type TilePart } from '../../tlog/tile-nodes.ts'
import type { Schema } from './batch.ts'
import { type Row, readBytesOrNull } from './row.ts'
import type { Query } from './session.ts'

// Many tiles, or parts of them, by one statement: one by one, statements take more time than what they read.

export type FullTilePlace = { readonly level: number; readonly index: number }
export type PartPlace = FullTilePlace & { readonly group: number }

const tileBytes = hashBytes * tileWidth
const slotsBytes = hashBytes * midWidth
const partBytes = midRootsBytes + slotsBytes

/** The full tiles at these places, in their order; throws RangeError where one is missing. Nothing is checked. */
export async function readTilesAt(
  query: Query,
  schema: Schema,
  places: readonly FullTilePlace[],
): Promise<Uint8Array[]> {
  const [row] = await query(
    `select string_agg(t.hashes, '' order by w.place) as bytes
     from unnest($1::smallint[], $2::bigint[]) with ordinality as w (level, tile_index, place)
     join ${schema.evidence}.tiles t using (level, tile_index)`,
    [places.map(({ level }) => level), places.map(({ index }) => index)],
  )
  // Copies: one that is kept must not keep all the others.
  return cut(row, places, tileBytes).map((tile) => tile.slice())
}

/**
 * Mid roots and 16 slots of each of these full tiles; undefined of a tile that was stored without mid roots. Throws
 * RangeError where one is missing.
 */
export async function readPartsAt(
  query: Query,
  schema: Schema,
  places: readonly PartPlace[],
): Promise<(TilePart | undefined)[]> {
  const [row] = await query(
    `select string_agg(
       coalesce(t.mid_roots, $4::bytea) || substring(t.hashes from 1 + ${slotsBytes} * w.slots for ${slotsBytes}),
       '' order by w.place) as bytes
     from unnest($1::smallint[], $2::bigint[], $3::integer[]) with ordinality as w (level, tile_index, slots, place)
     join ${schema.evidence}.tiles t using (level, tile_index)`,
    [
      ...[places.map(({ level }) => level), places.map(({ index }) => index), places.map(({ group }) => group)],
      noMidRoots,
    ],
  )
  return cut(row, places, partBytes).map((part, i) => {
    const midRoots = part.subarray(0, midRootsBytes)
    if (noMidRoots.equals(midRoots)) return undefined
    return { group: (places[i] as PartPlace).group, midRoots, slots: part.subarray(midRootsBytes) }
  })
}

/** Stands for none: 512 zero bytes are the hashes of nothing. */
const noMidRoots = Buffer.alloc(midRootsBytes)

function cut(row: Row | undefined, places: readonly FullTilePlace[], each: number): Uint8Array[] {
  const bytes = row === undefined ? null : readBytesOrNull(row, 'bytes')
  const found = (bytes?.length ?? 0) / each
  if (bytes === null || found !== places.length) {
    throw new RangeError(
      `${places.length} tiles from level ${places[0]?.level} index ${places[0]?.index}: ${found} found`,
    )
  }
  return places.map((_, i) => bytes.subarray(each * i, each * (i + 1)))
}
