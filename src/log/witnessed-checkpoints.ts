import { TlogError } from '../../tlog/errors.ts'
import type { Schema } from '../store/batch.ts'
import { readCheckpointsAfter, type StoredCheckpoint } from '../store/checkpoints.ts'
import { readCosignatures } from '../store/cosignatures.ts'
import type { Query } from '../store/session.ts'
import { type PublishedCheckpoint, type Witnessing, withoutCosignatures } from './cosigned.ts'

// Cosignatures as they are stored. Lines are checked like everything that is read back: one that does not hold is left out.

type Held = Pick<Witnessing, 'hold'>

/** Throws TlogError unless the log signed it, note and STH. */
export type CheckSigned = (checkpoint: StoredCheckpoint) => void

/** Newest lines that are looked at for a quorum: those of a dozen checkpoints, or one with a hundred witnesses. */
const linesMax = 256
const checkpointsMax = 16

/**
 * The newest of the checkpoints `first` to `last` that the log signed and the quorum has cosigned; undefined where none of
 * the newest is.
 */
export async function readNewestWitnessed(
  query: Query,
  schema: Schema,
  witnessing: Held,
  checkSigned: CheckSigned,
  { first, last }: { readonly first: number; readonly last: number },
): Promise<PublishedCheckpoint | undefined> {
  const stored = await readCosignatures(query, schema, first, last, linesMax)
  const numbers = [...new Set(stored.map(({ checkpointNumber }) => checkpointNumber))].reverse()
  for (const number of numbers.slice(0, checkpointsMax)) {
    const [checkpoint] = await readCheckpointsAfter(query, schema, number - 1, 1)
    if (checkpoint?.number !== number || !isSigned(checkpoint, checkSigned)) continue
    const lines = stored.filter(({ checkpointNumber }) => checkpointNumber === number).map(({ line }) => line)
    const held = witnessing.hold(checkpoint.note, lines)
    if (held.isQuorum) return { ...checkpoint, cosignatures: held.lines }
  }
  return undefined
}

/** A checkpoint with what is stored for it, and whether that is the quorum. */
export async function readCosigned(
  query: Query,
  schema: Schema,
  witnessing: Held,
  checkpoint: StoredCheckpoint,
): Promise<{ readonly checkpoint: PublishedCheckpoint; readonly isQuorum: boolean }> {
  const stored = await readCosignatures(query, schema, checkpoint.number, checkpoint.number, linesMax)
  const held = witnessing.hold(
    checkpoint.note,
    stored.map(({ line }) => line),
  )
  return { checkpoint: { ...checkpoint, cosignatures: held.lines }, isQuorum: held.isQuorum }
}

/** Up to `limit` checkpoints with numbers above `after`, in order, with what is stored for them. */
export async function readCosignedAfter(
  query: Query,
  schema: Schema,
  witnessing: Held | undefined,
  after: number,
  limit: number,
): Promise<readonly PublishedCheckpoint[]> {
  const checkpoints = await readCheckpointsAfter(query, schema, after, limit)
  const [first, last] = [checkpoints[0]?.number, checkpoints.at(-1)?.number]
  if (witnessing === undefined || first === undefined || last === undefined) return checkpoints.map(withoutCosignatures)
  const stored = await readCosignatures(query, schema, first, last, limit * linesOfOneMax)
  const lines = new Map<number, string[]>()
  for (const { checkpointNumber, line } of stored) {
    lines.set(checkpointNumber, [...(lines.get(checkpointNumber) ?? []), line])
  }
  return checkpoints.map((checkpoint) => {
    const of = lines.get(checkpoint.number)
    return of === undefined
      ? withoutCosignatures(checkpoint)
      : { ...checkpoint, cosignatures: witnessing.hold(checkpoint.note, of).lines }
  })
}

const linesOfOneMax = 16

function isSigned(checkpoint: StoredCheckpoint, checkSigned: CheckSigned): boolean {
  try {
    checkSigned(checkpoint)
    return true
  } catch (error) {
    if (error instanceof TlogError) return false
    throw error
  }
}
