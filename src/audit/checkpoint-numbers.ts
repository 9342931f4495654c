import { readCheckpointGaps } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import type { Findings } from './findings.ts'
import type { KnownHead } from './outside-check.ts'

const gapsMax = 1_000

/**
 * Whether checkpoints are missing: they are numbered from 0 without gaps. The signer remembers a checkpoint before it is
 * stored, so that of the newest one alone nothing follows. `from`: the first number that is looked at. `known` must have
 * been asked before. Gives the number behind the newest.
 */
export async function checkNumbers(
  query: Query,
  schema: Schema,
  from: number,
  known: readonly KnownHead[],
  findings: Findings,
): Promise<number> {
  const { gaps, newest } = await readCheckpointGaps(query, schema, from, gapsMax)
  const next = (newest ?? from - 1) + 1
  for (const { first, last } of gaps) {
    findings.addTree({ kind: 'CHECKPOINT_MISSING', checkpoint: first, lastCheckpoint: last, knownBy: 'its neighbours' })
  }
  const remembered = known.filter(({ checkpoint }) => checkpoint !== undefined && checkpoint > next)
  for (const { checkpoint: lastCheckpoint = next, knownBy } of remembered) {
    findings.addTree({ kind: 'CHECKPOINT_MISSING', checkpoint: next, lastCheckpoint, knownBy })
  }
  // Making a log stores the first one.
  if (next === 0 && remembered.length === 0) {
    findings.addTree({ kind: 'CHECKPOINT_MISSING', checkpoint: 0, lastCheckpoint: 0, knownBy: 'every log' })
  }
  return next
}
