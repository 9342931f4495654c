import { emptyRoot, type Hash, type Sha256 } from '../../tlog/hash.ts'
import { emptyEdge } from '../../tlog/tree-edge.ts'
import { commitBatch, type Schema } from '../store/batch.ts'
import { ensurePartitions, readClock, readWriterHead } from '../store/heads.ts'
import type { Query, Session } from '../store/session.ts'
import { batchTimestamp } from './clock.ts'
import type { Ending } from './ending.ts'
import { verifierOf } from './follow-checkpoints.ts'
import { integrate, type LogState } from './integrate.ts'
import type { LogKeys } from './log-keys.ts'
import { createSignAct, submissionOfAct } from './own-act-entry.ts'
import { sealedRows } from './sealed-rows.ts'

export type SuccessionOptions = {
  readonly origin: string
  readonly keys: LogKeys
  readonly schema: Schema
  readonly writer: Query
  /** The writer's. */
  readonly session: Session
  /** A new UUIDv7, 16 bytes. */
  readonly makeId: () => Uint8Array
  /** Milliseconds since 1970. */
  readonly nowMs: number
  readonly hash: Sha256
}

const resourceCharactersMax = 255
const emptyState: LogState = {
  edge: emptyEdge,
  root: emptyRoot,
  chainHash: new Uint8Array(32) as Hash,
  newestTimestamp: 0,
}

/** Entry 1 of a new log: which log it comes after, what that signed last, and why it ended. May be repeated. */
export async function writeSuccession(options: SuccessionOptions, ending: Ending): Promise<void> {
  const { origin, keys, schema, writer, session, makeId, nowMs, hash } = options
  if ((await readWriterHead(writer, schema))?.head.treeSize !== 0) return
  const { origin: before, vkey, checkpoint, reason, by, endedAt } = ending
  const sign = createSignAct({ signer: keys.signing.note, makeId, nowMs: () => nowMs, hash })
  const act = await sign({
    ...{ action: 'dendrolog.log.succeeded', actorId: by },
    resource: [...`log:${before}`].slice(0, resourceCharactersMax).join(''),
    detail: { origin: before, vkey, checkpoint, reason, endedAt },
  })
  const submission = submissionOfAct(act, verifierOf(keys), hash)
  const timestamp = batchTimestamp(nowMs * 1_000, await readClock(writer), 0)
  await ensurePartitions(writer, schema, 1)
  const batch = integrate(emptyState, [submission], timestamp, hash)
  await commitBatch(session, schema, sealedRows(batch, { origin, sealKey: keys.sealKey }))
}
