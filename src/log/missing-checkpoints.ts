import { equalBytes } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import type { TreeHead } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { checkSigned, type FollowedLog } from './follow-checkpoints.ts'
import { LogIncident } from './incident.ts'
import { CannotRecover, type RollSource } from './roll-source.ts'

/** Read at once. */
const checkpointsAtOnce = 500

/** Checkpoints that a database lacks before the last one, as far as a source has them without a gap; checked. */
export type MissingCheckpoints = {
  readonly count: number
  /** Throws CannotRecover where the head is of another tree than a checkpoint of its size. */
  readonly meet: (head: TreeHead) => void
  /** Throws CannotRecover where one of `size` entries at most is of a tree that no head was of. */
  readonly checkAllMet: (size: number) => void
  /** Reads them again, and checks them again. */
  readonly read: () => AsyncGenerator<StoredCheckpoint, void>
}

/**
 * Reads those between the newest `stored` one and the `last`, which the signer remembers and stores itself. Throws
 * LogIncident FORKED where the source has others of the numbers that both have.
 */
export async function readMissingCheckpoints(
  log: Pick<FollowedLog, 'origin' | 'keys'>,
  source: RollSource | undefined,
  stored: StoredCheckpoint | undefined,
  last: StoredCheckpoint,
): Promise<MissingCheckpoints> {
  const roots = new Map<number, Hash>()
  const read = (): AsyncGenerator<StoredCheckpoint, void> => readBetween(log, source, stored, last)
  let count = 0
  for await (const { number, treeSize, root } of read()) {
    const known = roots.get(treeSize)
    if (known !== undefined && !equalBytes(known, root)) throw otherTree(number, treeSize)
    roots.set(treeSize, root)
    count++
  }
  return {
    count,
    read,
    meet: ({ treeSize, root }) => {
      const want = roots.get(treeSize)
      if (want !== undefined && !equalBytes(want, root)) throw otherTree(undefined, treeSize)
      roots.delete(treeSize)
    },
    checkAllMet: (size) => {
      const [left] = [...roots.keys()].filter((treeSize) => treeSize > (stored?.treeSize ?? 0) && treeSize <= size)
      if (left !== undefined) throw new CannotRecover(`the source has no head of ${left} entries, but a checkpoint`)
    },
  }
}

async function* readBetween(
  log: Pick<FollowedLog, 'origin' | 'keys'>,
  source: RollSource | undefined,
  stored: StoredCheckpoint | undefined,
  last: StoredCheckpoint,
): AsyncGenerator<StoredCheckpoint, void> {
  let before = stored
  let hasGap = false
  if (source === undefined) return
  for (;;) {
    const page = await source.readCheckpoints(before?.number ?? -1, checkpointsAtOnce)
    for (const checkpoint of page) {
      checkOne(log, checkpoint, before)
      const { number, timestampMs } = checkpoint
      if (timestampMs > last.timestampMs) throw staleMemory(last, checkpoint)
      if (number === last.number) checkLast(checkpoint, last)
      hasGap ||= number !== (before?.number ?? -1) + 1
      before = checkpoint
      // Behind a gap nothing can be stored.
      if (!hasGap && number < last.number) yield checkpoint
    }
    if (page.length < checkpointsAtOnce) return
  }
}

/** Signed by the log, and later than the one before. */
function checkOne(
  log: Pick<FollowedLog, 'origin' | 'keys'>,
  checkpoint: StoredCheckpoint,
  before: StoredCheckpoint | undefined,
): void {
  const { number, treeSize, timestampMs } = checkpoint
  try {
    checkSigned(log, checkpoint)
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    throw new CannotRecover(`checkpoint ${number} of the source is not one that ${log.origin} signed`, { cause })
  }
  if (before === undefined || (treeSize >= before.treeSize && timestampMs > before.timestampMs)) return
  throw new CannotRecover(`checkpoint ${number} of the source goes back behind checkpoint ${before.number}`)
}

function checkLast(found: StoredCheckpoint, last: StoredCheckpoint): void {
  if (found.note === last.note) return
  throw new LogIncident('FORKED', `checkpoint ${last.number} of the source is not the one that the signer remembers`)
}

function staleMemory(last: StoredCheckpoint, newer: StoredCheckpoint): CannotRecover {
  return new CannotRecover(
    `the signer's memory is older than the source: it is of checkpoint ${last.number}, the source has ${newer.number}. ` +
      'Put the newest memory back, or end this log',
  )
}

function otherTree(number: number | undefined, treeSize: number): CannotRecover {
  const which = number === undefined ? 'a checkpoint' : `checkpoint ${number}`
  return new CannotRecover(`${which} of the source is of another tree of ${treeSize} entries`)
}
