import { equalBytes, parseHex } from '../../tlog/bytes.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { countKnownIds, readStrayIds, readStrayTiles, readTileRows } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { ReadSession } from '../store/copy-out.ts'
import { readNewestHeads } from '../store/head-reads.ts'
import type { Findings } from './findings.ts'

// What no range of entries shows: tiles above ranges, and tiles and ids that belong to no entry.

export type UpperTile = { readonly level: number; readonly index: number; readonly hashes: Uint8Array }

/** The first level whose tiles are above ranges. */
const upperLevel = 2
const straysMax = 1_000

/** Full tiles of level 2 and above, by the roots of all full ranges. */
export function upperTilesOf(rangeRoots: readonly string[], sha256: Sha256): readonly UpperTile[] {
  const tiles: UpperTile[] = []
  let nodes: readonly Uint8Array[] = rangeRoots.map(parseHex)
  for (let level = upperLevel; nodes.length >= tileWidth; level++) {
    const full = Array.from({ length: Math.floor(nodes.length / tileWidth) }, (_, index) => ({
      ...{ level, index },
      hashes: Buffer.concat(nodes.slice(index * tileWidth, (index + 1) * tileWidth)),
    }))
    tiles.push(...full)
    nodes = full.map(({ hashes }) => rootOfFullTile(hashes, sha256))
  }
  return tiles
}

/** Whether a tile is stored as it must be. */
export async function checkTile(
  session: ReadSession,
  schema: Schema,
  { level, index, hashes }: UpperTile,
  findings: Findings,
): Promise<void> {
  const [row] = await readTileRows(session, schema, level, index, index + 1)
  if (row === undefined) findings.addTree({ kind: 'TILE_MISMATCH', level, index, problem: 'missing' })
  else if (!equalBytes(row.hashes, hashes))
    findings.addTree({ kind: 'TILE_MISMATCH', level, index, problem: 'altered' })
}

/** `size`: entries that there are at least. */
export async function checkStrays(
  { query }: ReadSession,
  schema: Schema,
  size: number,
  findings: Findings,
): Promise<void> {
  // Tiles come with the head by which they are full: both are read of one moment.
  await query('begin isolation level repeatable read read only')
  try {
    const [newest] = await readNewestHeads(query, schema, 1)
    const sizeNow = newest?.kind === 'read' ? Math.max(size, newest.value.treeSize) : size
    for (const { level, index } of await readStrayTiles(query, schema, sizeNow)) {
      findings.addTree({ kind: 'TILE_MISMATCH', level, index, problem: 'not full' })
    }
  } finally {
    await query('rollback')
  }
  const { known, entries } = await countKnownIds(query, schema)
  if (known === entries) return
  for (const { eventId, knownAs } of await readStrayIds(query, schema, straysMax)) {
    findings.addTree({ kind: 'KNOWN_IDS_MISMATCH', eventId, knownAs })
  }
}
