import { emptyRoot } from '../../tlog/hash.ts'
import type { Schema } from '../store/batch.ts'
import { insertCheckpoint, readNewestCheckpoint } from '../store/checkpoints.ts'
import { firstHead, insertFirstHead, readClock, readWriterHead } from '../store/heads.ts'
import type { Query } from '../store/session.ts'
import { checkClocks } from './clock.ts'
import { LogIncident } from './incident.ts'
import { type SealKey, sealHead } from './seal.ts'
import { type SigningKeys, signTreeHead } from './signer.ts'
import type { SignerCell } from './signer-cell.ts'

export type CreateOptions = {
  readonly origin: string
  readonly sealKey: SealKey
  readonly keys: SigningKeys
  readonly cell: SignerCell
  readonly schema: Schema
  readonly writer: Query
  readonly signer: Query
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/**
 * Makes an empty log: the head of size 0 and checkpoint 0. Every step may be repeated after a crash; the first
 * signature is remembered before it is stored, like every later one. Throws CLOCK_SKEW where host and database are more
 * than 10 s apart: no later signature may be older than the first.
 */
export async function createLog(options: CreateOptions): Promise<void> {
  const { origin, sealKey, keys, cell, schema, writer, signer, nowMs } = options
  checkClocks(nowMs * 1_000, await readClock(writer))
  if ((await readWriterHead(writer, schema)) === undefined) {
    await insertFirstHead(writer, schema, sealHead(sealKey, origin, firstHead))
  }
  const remembered = await cell.read()
  if (remembered === undefined && (await readWriterHead(writer, schema))?.head.treeSize !== 0) {
    throw new LogIncident('ROLLBACK', 'the database holds a log with entries, of which the signer remembers nothing')
  }
  const first = remembered ?? (await signTreeHead(keys, origin, 0, { treeSize: 0, root: emptyRoot }, nowMs))
  if (remembered === undefined) await cell.write(first)
  if ((await readNewestCheckpoint(signer, schema)) === undefined) await insertCheckpoint(signer, schema, first)
}

/** Whether the database holds a log. */
export async function hasLog(writer: Query, schema: Schema): Promise<boolean> {
  return (await readWriterHead(writer, schema)) !== undefined
}
