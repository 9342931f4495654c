import { formatHex } from '../../tlog/bytes.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { readCheckpoints } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import { CheckpointCheck, checkpointsAtOnce, type SignatureReview } from './checkpoint-check.ts'
import { Findings } from './findings.ts'
import { HeadCheck } from './head-check.ts'
import { type KnownHead, OutsideCheck } from './outside-check.ts'
import type { RangeResult } from './range-check.ts'
import { joinEdges } from './range-join.ts'
import type { SealCheck } from './seal-check.ts'
import { TailTree } from './tail-tree.ts'
import type { VerifierState } from './verifier-state.ts'

/** What heads and checkpoints are read by and checked with. */
export type TreeChecks = {
  readonly query: Query
  readonly schema: Schema
  readonly sha256: Sha256
  readonly isSealed: SealCheck
  readonly review: SignatureReview
}

/**
 * Joins rows to what is known: `result` is of rows right behind `state.base`, which may be those of an unfinished tile
 * again. Gives what was found, and the state with them in its base, as far as their tiles are full.
 */
export async function joinTail(
  checks: TreeChecks,
  state: VerifierState,
  result: RangeResult,
  known: readonly KnownHead[],
): Promise<{ readonly findings: Findings; readonly state: VerifierState }> {
  const { query, schema, sha256, isSealed, review } = checks
  const findings = new Findings()
  for (const finding of [...joinEdges(state, result), ...result.findings]) findings.addRow(finding)
  for (const defect of result.tileDefects) findings.addTree({ kind: 'TILE_MISMATCH', ...defect })
  const rangeRoots: string[] = []
  const treeFor = (roots: string[]): TailTree => new TailTree(state.base, result, roots, sha256)
  await new HeadCheck(query, schema, isSealed, treeFor([]), findings).check(result, result)
  const read = (after: number): ReturnType<typeof readCheckpoints> =>
    readCheckpoints(query, schema, { above: after, upTo: Number.MAX_SAFE_INTEGER }, checkpointsAtOnce, {
      above: result.above,
      upTo: result.upTo,
    })
  const checkpoints = new CheckpointCheck(read, review, treeFor([]), findings, state.lastCheckpoint)
  await checkpoints.check(result, result)
  new OutsideCheck(known, treeFor([]), findings).check(result, result)
  const size = result.upTo - (result.upTo % tileWidth)
  const tree = treeFor(rangeRoots)
  const base = size > result.above ? tree.grownTo(size) : state.base
  const isEnd = size === result.upTo
  return {
    findings,
    state: {
      ...state,
      base,
      lastChainHash: size > result.above ? hexOrUndefined(tree.chainHash(size)) : state.lastChainHash,
      lastTimestamp: isEnd ? result.edge.lastTimestamp : Number.NaN,
      lastCheckpoint: checkpoints.last,
      rangeRoots: [...state.rangeRoots, ...rangeRoots],
    },
  }
}

/** Zeros stand for a row that is not there. */
function hexOrUndefined(hash: Uint8Array): string | undefined {
  return hash.every((byte) => byte === 0) ? undefined : formatHex(hash)
}
