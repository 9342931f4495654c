import { equalBytes, formatHex, parseHex } from '../../tlog/bytes.ts'
import { appendLeafHash, type CompactRange, emptyRange } from '../../tlog/compact-range.ts'
import { asHash, type Sha256 } from '../../tlog/hash.ts'
import { readCheckpoints } from '../store/audit-reads.ts'
import { CheckpointCheck, checkpointsAtOnce } from './checkpoint-check.ts'
import { Findings } from './findings.ts'
import { GrownTree } from './grown-tree.ts'
import { HeadCheck } from './head-check.ts'
import { type KnownHead, OutsideCheck } from './outside-check.ts'
import type { RangeResult } from './range-check.ts'
import { nodesAt, rangeLeaves, rangeLevel } from './range-nodes.ts'
import type { TreeChecks } from './tail-check.ts'
import type { VerifierState } from './verifier-state.ts'

/**
 * What there is to find in a range that was hashed before: its rows and tiles, its heads and checkpoints, and whether it
 * still is what it was then.
 */
export async function checkAgain(
  checks: TreeChecks,
  state: VerifierState,
  result: RangeResult,
  outside: readonly KnownHead[],
): Promise<Findings> {
  const { query, schema, sha256, isSealed, review } = checks
  const findings = new Findings()
  for (const finding of result.findings) findings.addRow(finding)
  for (const defect of result.tileDefects) findings.addTree({ kind: 'TILE_MISMATCH', ...defect })
  const index = result.above / rangeLeaves
  const tree = new GrownTree(sha256, rangeOfRoots(state.rangeRoots.slice(0, index), sha256))
  tree.add(result)
  await new HeadCheck(query, schema, isSealed, tree, findings).check(result, result)
  const read = (after: number): ReturnType<typeof readCheckpoints> =>
    readCheckpoints(query, schema, { above: after, upTo: Number.MAX_SAFE_INTEGER }, checkpointsAtOnce, {
      above: result.above,
      upTo: result.upTo,
    })
  await new CheckpointCheck(read, review, tree, findings).check(result, result)
  new OutsideCheck(outside, tree, findings).check(result, result)
  const known = state.rangeRoots[index]
  if (known === undefined || result.upTo - result.above < rangeLeaves) return findings
  const root = nodesAt(result.nodes, rangeLevel)
  if (!equalBytes(root, parseHex(known))) {
    const knownBy = `the verifier, of entries ${result.above + 1} to ${result.upTo}`
    findings.addTree({ kind: 'FORKED', treeSize: result.upTo, knownBy, computed: formatHex(root), known })
  }
  return findings
}

/** The compact range whose leaves are ranges. */
function rangeOfRoots(roots: readonly string[], sha256: Sha256): CompactRange {
  return roots.reduce((range, root) => appendLeafHash(range, asHash(parseHex(root)), sha256), emptyRange)
}
