import { emptyRoot, type Hash } from '../../tlog/hash.ts'
import type { Schema, TreeHead } from './batch.ts'
import { type Row, readBytes, readHash, readInteger, readIntegerOrNull } from './row.ts'
import type { Query } from './session.ts'

/** The newest head as the writer may see it, and what is stored above it. */
export type WriterHead = {
  readonly head: TreeHead
  /** How far the rows of the ledger go. */
  readonly lastSequenceNumber: number
  /** A stored tile, if there is one, that is not full in the tree of the head. */
  readonly strayTile: { readonly level: number; readonly index: number } | undefined
}

/** Undefined in a database whose log was never created. */
export async function readWriterHead(query: Query, schema: Schema): Promise<WriterHead | undefined> {
  const [row] = await query(`select * from ${schema.evidence}.writer_head()`)
  if (row === undefined || row.tree_size === null) return undefined
  return {
    head: headOf(row),
    lastSequenceNumber: readInteger(row, 'last_sequence_number'),
    strayTile: strayTileOf(row),
  }
}

function strayTileOf(row: Row): WriterHead['strayTile'] {
  const level = readIntegerOrNull(row, 'stray_tile_level')
  return level === null ? undefined : { level, index: readInteger(row, 'stray_tile_index') }
}

/** Whether an administrator finds a log in a database, which may be one that was never migrated. */
export async function hasTreeHeads(query: Query, schema: Schema): Promise<boolean> {
  const table = `${schema.evidence}.tree_heads`
  const [migrated] = await query('select pg_catalog.to_regclass($1) is not null as found', [table])
  if (migrated?.found !== true) return false
  const [row] = await query(`select exists (select from ${table}) as found`)
  return row?.found === true
}

/** The newest head, for the signer. */
export async function readNewestHead(query: Query, schema: Schema): Promise<TreeHead | undefined> {
  const [row] = await query(
    `select tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal
     from ${schema.evidence}.tree_heads
     order by tree_size desc
     limit 1`,
  )
  return row === undefined ? undefined : headOf(row)
}

/** The head of a new log. It has no predecessor; as one it names itself, for the seal. */
export const firstHead: Omit<TreeHead, 'seal'> = {
  treeSize: 0,
  root: emptyRoot,
  chainHash: new Uint8Array(32) as Hash,
  frontier: new Uint8Array(0),
  newestTimestamp: 0,
  previousSize: 0,
  previousRoot: emptyRoot,
}

export async function insertFirstHead(query: Query, schema: Schema, seal: Uint8Array): Promise<void> {
  const { treeSize, root, chainHash, frontier, newestTimestamp } = firstHead
  await query(
    `insert into ${schema.evidence}.tree_heads (tree_size, root_hash, chain_hash, frontier, newest_timestamp, seal)
     values ($1, $2, $3, $4, $5, $6)`,
    [treeSize, root, chainHash, frontier, newestTimestamp, seal],
  )
}

/** Microseconds since 1970 by the database's clock. */
export async function readClock(query: Query): Promise<number> {
  const [row] = await query(`select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now`)
  return readInteger(row ?? {}, 'now')
}

/** Makes the partitions for sequence numbers up to `upTo`, and two more. */
export async function ensurePartitions(query: Query, schema: Schema, upTo: number): Promise<void> {
  await query(`select ${schema.evidence}.ensure_partitions($1)`, [upTo])
}

/** Throws RangeError or TypeError where a column holds what we did not write. */
export function headOf(row: Row): TreeHead {
  const previousSize = readIntegerOrNull(row, 'previous_size')
  return {
    treeSize: readInteger(row, 'tree_size'),
    root: readHash(row, 'root_hash'),
    chainHash: readHash(row, 'chain_hash'),
    frontier: readBytes(row, 'frontier'),
    newestTimestamp: readInteger(row, 'newest_timestamp'),
    previousSize: previousSize ?? 0,
    previousRoot: previousSize === null ? emptyRoot : readHash(row, 'previous_root'),
    seal: readBytes(row, 'seal'),
  }
}
