import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import { readCheckpointsAfter, type StoredCheckpoint } from '../store/checkpoints.ts'
import { entryReads, type StoredEntry } from '../store/entries.ts'
import { readHeads } from '../store/head-reads.ts'
import type { Query } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'

/** What a log is rolled forward from: a newer copy of it. Nothing of what it gives is checked. */
export type RollSource = {
  readonly tiles: TileReader
  /** Heads of sizes above `above`, in order. */
  readonly readHeads: (above: number, limit: number) => Promise<readonly TreeHead[]>
  /** Sequence numbers, both ends included, in order; what is not there is left out. */
  readonly readEntries: (from: number, to: number) => Promise<readonly StoredEntry[]>
  /** Checkpoints with numbers above `after`, in order. */
  readonly readCheckpoints: (after: number, limit: number) => Promise<readonly StoredCheckpoint[]>
}

/** The log cannot be rolled forward so; nothing was changed. */
export class CannotRecover extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'CannotRecover'
  }
}

/** Another database with the log's tables: a standby, or a restored copy. The login may read them all. */
export function databaseSource(query: Query, schema: Schema, hash: Sha256): RollSource {
  return {
    tiles: openTileStore(query, schema, hash),
    readHeads: async (above, limit) => {
      const heads = await readHeads(query, schema, above, Number.MAX_SAFE_INTEGER, limit)
      return heads.map((head) => {
        if (head.kind === 'read') return head.value
        throw new CannotRecover(`the source's head of size ${head.at} cannot be read: ${head.reason}`)
      })
    },
    readEntries: entryReads(query, schema).readEntries,
    readCheckpoints: (after, limit) => readCheckpointsAfter(query, schema, after, limit),
  }
}
