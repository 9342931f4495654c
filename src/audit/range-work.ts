import { tileWidth } from '../../tlog/tile.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { readIdMismatches, readTileRows } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import { openReadSession, type ReadConfig, type ReadSession } from '../store/copy-out.ts'
import { readNextNumber, scanLedger } from '../store/ledger-scan.ts'
import { isDamage } from '../store/outage.ts'
import type { ExpectedNodes } from './expected-nodes.ts'
import { compareFindings, FindingRuns } from './finding-runs.ts'
import { idFinding } from './id-findings.ts'
import { createWorkspace, type ResultBuffers, type Workspace } from './range-buffers.ts'
import { type EntryRange, RangeCheck, type RangeResult } from './range-check.ts'
import { rangeLeaves } from './range-nodes.ts'
import type { RangeTiles } from './range-tiles.ts'
import { RowHashes } from './row-hashes.ts'

/** `expected`: what heads say of it; see settleTiles. */
export type RangeJob = { readonly range: EntryRange; readonly expected: readonly ExpectedNodes[] }

/** With what its result is made in: new, or of a result that nobody looks at any more. */
export type RangeRequest = RangeJob & { readonly buffers: ResultBuffers }

/** Checks ranges by a connection of the auditors' role, one at a time. */
export type RangeWork = {
  readonly check: (request: RangeRequest) => Promise<RangeResult>
  readonly close: () => Promise<void>
}

export async function openRangeWork(config: ReadConfig, schema: Schema): Promise<RangeWork> {
  const session = await openReadSession(config)
  const hashes = new RowHashes(nativeSha256)
  const workspace = createWorkspace()
  return { check: (request) => checkRange(session, schema, hashes, workspace, request), close: () => session.close() }
}

/** Rows of a range that cannot be read; of more the database is broken as a whole. */
const unreadableMax = 1_000
/** Entries of a range whose ids are told one by one. */
const idMismatchesMax = 1_000

async function checkRange(
  session: ReadSession,
  schema: Schema,
  hashes: RowHashes,
  workspace: Workspace,
  { range, expected, buffers }: RangeRequest,
): Promise<RangeResult> {
  const check = new RangeCheck(range, hashes, { ...workspace, ...buffers }, nativeSha256)
  await scanRows(session, schema, range, check)
  const result = check.end(await readTiles(session, schema, range), expected)
  if (!result.hasOtherIds) return result
  const mismatches = await readIdMismatches(session.query, schema, range.above, range.upTo, idMismatchesMax)
  const runs = new FindingRuns()
  for (const mismatch of mismatches) runs.add(idFinding(mismatch))
  return { ...result, findings: [...result.findings, ...runs.inOrder()].sort(compareFindings) }
}

/** A row that the database cannot read is one that was altered: those behind it are read all the same. */
async function scanRows(session: ReadSession, schema: Schema, range: EntryRange, check: RangeCheck): Promise<void> {
  for (let unreadable = 0; ; unreadable++) {
    try {
      return await scanLedger(session, schema, check.last, range.upTo, (row) => check.take(row))
    } catch (error) {
      if (!isDamage(error) || unreadable >= unreadableMax) throw error
      const next = await readNextNumber(session.query, schema, check.last, range.upTo)
      if (next === undefined) throw error
      check.takeUnreadable(next, error.message)
    }
  }
}

async function readTiles(session: ReadSession, schema: Schema, { above, upTo }: EntryRange): Promise<RangeTiles> {
  const first = above / tileWidth
  const end = Math.floor(upTo / tileWidth)
  const rows = new Map((await readTileRows(session, schema, 0, first, end)).map((row) => [row.index, row]))
  const leaves = Array.from({ length: end - first }, (_, i) => rows.get(first + i))
  if (upTo - above < rangeLeaves) return { leaves, roots: undefined }
  const index = first / tileWidth
  const [roots] = await readTileRows(session, schema, 1, index, index + 1)
  return { leaves, roots }
}
