import { hashBytes } from '../../tlog/hash.ts'
import { midRootsBytes, midWidth, type TilePart } from '../../tlog/tile-nodes.ts'
import type { Schema } from './batch.ts'
import { readBytes, readBytesOrNull } from './row.ts'
import type { NamedQuery } from './session.ts'

// Many tiles, or parts of them, by one statement: one by one, statements take more time than what they read.

export type FullTilePlace = { readonly level: number; readonly index: number }
export type PartPlace = FullTilePlace & { readonly group: number }

const slotsBytes = hashBytes * midWidth

/** The full tiles at these places, in their order; throws RangeError where one is missing. Nothing is checked. */
export async function readTilesAt(
  query: NamedQuery,
  schema: Schema,
  places: readonly FullTilePlace[],
): Promise<Uint8Array[]> {
  const rows = await query(
    nameOf('tiles', schema),
    `select t.hashes
     from unnest($1::smallint[], $2::bigint[]) with ordinality as w (level, tile_index, place)
     join ${schema.evidence}.tiles t using (level, tile_index)
     order by w.place`,
    [places.map(({ level }) => level), places.map(({ index }) => index)],
  )
  checkCount(places, rows.length)
  return rows.map((row) => readBytes(row, 'hashes'))
}

/**
 * Mid roots and 16 slots of each of these full tiles; undefined of a tile that was stored without mid roots. Throws
 * RangeError where one is missing. All in one value: half a kilobyte of a row costs less than the row.
 */
export async function readPartsAt(
  query: NamedQuery,
  schema: Schema,
  places: readonly PartPlace[],
): Promise<(TilePart | undefined)[]> {
  const [row] = await query(
    nameOf('parts', schema),
    `select string_agg(
       coalesce(t.mid_roots, $4::bytea) || substring(t.hashes from 1 + ${slotsBytes} * w.slots for ${slotsBytes}),
       '' order by w.place) as parts
     from unnest($1::smallint[], $2::bigint[], $3::integer[]) with ordinality as w (level, tile_index, slots, place)
     join ${schema.evidence}.tiles t using (level, tile_index)`,
    [
      ...[places.map(({ level }) => level), places.map(({ index }) => index), places.map(({ group }) => group)],
      noMidRoots,
    ],
  )
  const parts = (row === undefined ? null : readBytesOrNull(row, 'parts')) ?? new Uint8Array(0)
  checkCount(places, parts.length / partBytes)
  return places.map(({ group }, i) => {
    const midRoots = parts.subarray(partBytes * i, partBytes * i + midRootsBytes)
    if (noMidRoots.equals(midRoots)) return undefined
    return { group, midRoots, slots: parts.subarray(partBytes * i + midRootsBytes, partBytes * (i + 1)) }
  })
}

/**
 * `read`, which throws RangeError where one is missing, such that the others are there for those who want them: for
 * Batched.
 */
export function eachAlone<P, T>(
  read: (places: readonly P[]) => Promise<readonly T[]>,
): (places: readonly P[]) => Promise<readonly (T | Promise<T>)[]> {
  return async (places) => {
    try {
      return await read(places)
    } catch (error) {
      if (!(error instanceof RangeError) || places.length === 1) throw error
      return places.map(async (place) => (await read([place]))[0] as T)
    }
  }
}

const partBytes = midRootsBytes + slotsBytes

/** Stands for none: 512 zero bytes are the hashes of nothing. */
const noMidRoots = Buffer.alloc(midRootsBytes)

/** One pool, one schema: the name is only to be short enough. */
function nameOf(what: string, { evidence }: Schema): string {
  return `${what} ${evidence}`.slice(0, 63)
}

function checkCount(places: readonly FullTilePlace[], found: number): void {
  if (found === places.length) return
  const [first] = places
  throw new RangeError(
    `${places.length} tiles, the first of level ${first?.level} and index ${first?.index}: ${found} found`,
  )
}
