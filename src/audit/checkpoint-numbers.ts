import { readCheckpointGaps } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'
import type { Findings } from './findings.ts'
import type { KnownHead } from './outside-check.ts'

/** Of the newest checkpoints, whether one is missing. */
export const checkpointsProbed = 10_000
const gapsMax = 1_000

/**
 * Whether checkpoints are missing: they are numbered from 0 without gaps. The signer remembers a checkpoint before it is
 * stored, so that of the newest one alone nothing follows. Looks at those from number `from` on; those below `seen` were
 * there before. `known` must have been asked before. Gives the number behind the newest.
 */
export async function checkNumbers(
  query: Query,
  schema: Schema,
  { from, seen }: { readonly from: number; readonly seen: number },
  known: readonly KnownHead[],
  findings: Findings,
): Promise<number> {
  const { gaps, newest } = await readCheckpointGaps(query, schema, from, gapsMax)
  const next = (newest ?? from - 1) + 1
  for (const { first, last } of gaps) {
    findings.addTree({ kind: 'CHECKPOINT_MISSING', checkpoint: first, lastCheckpoint: last, knownBy: 'its neighbours' })
  }
  const [missing, knownBy] = newestElsewhere(next, seen, known)
  if (missing >= next) {
    findings.addTree({ kind: 'CHECKPOINT_MISSING', checkpoint: next, lastCheckpoint: missing, knownBy })
  }
  return Math.max(seen, next)
}

/** Number of a checkpoint that was there, and who knows it. Making a log stores the first one. */
function newestElsewhere(next: number, seen: number, known: readonly KnownHead[]): readonly [number, string] {
  const remembered = known.find(({ checkpoint = -1 }) => checkpoint > next)
  if (remembered?.checkpoint !== undefined) return [remembered.checkpoint, remembered.knownBy]
  return seen > next ? [seen - 1, 'the verifier'] : [0, 'every log']
}
