import { tileWidth } from '../../tlog/tile.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { readIdMismatches, readTileRows, type TileRow } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import { openScanSession, type ScanConfig, type ScanSession } from '../store/ledger-scan.ts'
import { compareFindings, FindingRuns } from './finding-runs.ts'
import { idFinding } from './id-findings.ts'
import { type EntryRange, RangeCheck, type RangeResult } from './range-check.ts'
import { rangeLeaves } from './range-nodes.ts'
import type { RangeTiles, StoredTile } from './range-tiles.ts'
import { RowHashes } from './row-hashes.ts'

/** `expected`: of a range that is not full, the nodes of a signed head over it; see settleTiles. */
export type RangeRequest = { readonly range: EntryRange; readonly expected: Uint8Array | undefined }

/** Checks ranges by a connection of the auditors' role, one at a time. */
export type RangeWork = {
  readonly check: (request: RangeRequest) => Promise<RangeResult>
  readonly close: () => Promise<void>
}

export async function openRangeWork(config: ScanConfig, schema: Schema): Promise<RangeWork> {
  const session = await openScanSession(config, schema)
  const hashes = new RowHashes(nativeSha256)
  return { check: (request) => checkRange(session, schema, hashes, request), close: () => session.close() }
}

/** Entries of a range whose ids are told one by one. */
const idMismatchesMax = 1_000

async function checkRange(
  session: ScanSession,
  schema: Schema,
  hashes: RowHashes,
  { range, expected }: RangeRequest,
): Promise<RangeResult> {
  const check = new RangeCheck(range, hashes, nativeSha256)
  await session.scan(range.above, range.upTo, (row) => check.take(row))
  const result = check.end(await readTiles(session, schema, range), expected)
  const mismatches = await readIdMismatches(session.query, schema, range.above, range.upTo, idMismatchesMax)
  if (mismatches.length === 0) return result
  const runs = new FindingRuns()
  for (const mismatch of mismatches) runs.add(idFinding(mismatch))
  return { ...result, findings: [...result.findings, ...runs.inOrder()].sort(compareFindings) }
}

async function readTiles({ query }: ScanSession, schema: Schema, { above, upTo }: EntryRange): Promise<RangeTiles> {
  const first = above / tileWidth
  const end = Math.floor(upTo / tileWidth)
  const rows = new Map((await readTileRows(query, schema, 0, first, end)).map((row) => [row.index, row]))
  const leaves = Array.from({ length: end - first }, (_, i) => storedTile(rows.get(first + i)))
  if (upTo - above < rangeLeaves) return { leaves, roots: undefined }
  const index = first / tileWidth
  const [roots] = await readTileRows(query, schema, 1, index, index + 1)
  return { leaves, roots: storedTile(roots) }
}

function storedTile(row: TileRow | undefined): StoredTile | undefined {
  if (row === undefined) return undefined
  return { hashes: row.hashes, midRoots: row.midRoots ?? undefined }
}
