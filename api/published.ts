import type { StoredCheckpoint } from '../src/store/checkpoints.ts'
import { type Deadline, deadlineIn } from './deadline.ts'
import type { Server } from './server.ts'

const notReadInTime = 'the newest checkpoint could not be read in time'

/**
 * The newest checkpoint, of at least `size` entries where any server of the log has published so many: a client may come
 * from another one. It has fewer only where nobody has.
 */
export function publishedUpTo(
  { log, times }: Server,
  size: number,
  deadline: Deadline = deadlineIn(times.answerMs),
): Promise<StoredCheckpoint> {
  if (log.published.treeSize >= size) return Promise.resolve(log.published)
  return deadline.within(
    log.follower.upTo(({ treeSize }) => treeSize >= size),
    notReadInTime,
  )
}
