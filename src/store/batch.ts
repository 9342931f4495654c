import type { Hash } from '../../tlog/hash.ts'
import { midRootsBytes } from '../../tlog/tile-nodes.ts'
import type { FullTile } from '../../tlog/tree-edge.ts'
import { writeBigintField, writeBytesField, writeFieldCount, writeSmallintField } from './copy-binary.ts'
import { ledgerColumns } from './ledger-row.ts'
import type { Session } from './session.ts'

/** A head as it is stored, one row a commit. */
export type TreeHead = {
  readonly treeSize: number
  readonly root: Hash
  readonly chainHash: Hash
  /** Compact range, biggest subtree first. */
  readonly frontier: Uint8Array
  /** Microseconds since 1970 of the newest entry. */
  readonly newestTimestamp: number
  readonly previousSize: number
  readonly previousRoot: Hash
  readonly seal: Uint8Array
}

/** What one commit writes. */
export type BatchRows = {
  readonly head: TreeHead
  readonly ledgerRows: Uint8Array
  readonly idRows: Uint8Array
  readonly fullTiles: readonly FullTile[]
}

/** Quoted names of a log's two schemas. */
export type Schema = { readonly evidence: string; readonly state: string }

/**
 * The one commit. Until `commit` was sent nothing has happened; when it fails the outcome is unknown, and the caller
 * must read the head before it does anything else.
 */
export async function commitBatch(session: Session, schema: Schema, batch: BatchRows): Promise<void> {
  await session.query('begin')
  await writeBatch(session, schema, batch)
  await session.commit()
}

/** What a commit writes, in a transaction that the caller has begun. */
export async function writeBatch(session: Session, schema: Schema, batch: BatchRows): Promise<void> {
  await insertHead(session, schema, batch.head)
  await session.copy(
    `copy ${schema.evidence}.audit_logs (${ledgerColumns.join(', ')}) from stdin (format binary)`,
    batch.ledgerRows,
  )
  await session.copy(
    `copy ${schema.evidence}.entry_ids (event_id, sequence_number) from stdin (format binary)`,
    batch.idRows,
  )
  if (batch.fullTiles.length > 0) {
    await session.copy(
      `copy ${schema.evidence}.tiles (level, tile_index, hashes, mid_roots) from stdin (format binary)`,
      tileRows(batch.fullTiles),
    )
  }
}

// Fence: the foreign key on (previous_size, previous_root) and the unique previous_size let only one writer build on
// the newest head. A violation means that we are not the writer any more, or that the database is not the one we knew.
async function insertHead(session: Session, schema: Schema, head: TreeHead): Promise<void> {
  await session.query(
    `insert into ${schema.evidence}.tree_heads
       (tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      ...[head.treeSize, head.root, head.chainHash, head.frontier],
      ...[head.newestTimestamp, head.previousSize, head.previousRoot, head.seal],
    ],
  )
}

const tileRowBytes = 2 + 6 + 12 + 4 + 8_192 + 4 + midRootsBytes

function tileRows(tiles: BatchRows['fullTiles']): Uint8Array {
  const out = new Uint8Array(tiles.length * tileRowBytes)
  let at = 0
  for (const { level, index, hashes, midRoots } of tiles) {
    at = writeFieldCount(out, at, 4)
    at = writeSmallintField(out, at, level)
    at = writeBigintField(out, at, index)
    at = writeBytesField(out, at, hashes, 0, hashes.length)
    at = writeBytesField(out, at, midRoots, 0, midRoots.length)
  }
  return out
}
