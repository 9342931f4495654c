import { emptyRoot, type Hash } from '../../tlog/hash.ts'
import type { Schema } from '../store/batch.ts'
import { insertCheckpoint, readNewestCheckpoint } from '../store/checkpoints.ts'
import { insertFirstHead, readWriterHead } from '../store/heads.ts'
import type { Query } from '../store/session.ts'
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
 * signature is remembered before it is stored, like every later one.
 */
export async function createLog(options: CreateOptions): Promise<void> {
  const { origin, sealKey, keys, cell, schema, writer, signer, nowMs } = options
  if ((await readWriterHead(writer, schema)) === undefined) {
    const empty = { treeSize: 0, root: emptyRoot, previousSize: 0, previousRoot: emptyRoot }
    await insertFirstHead(writer, schema, sealHead(sealKey, origin, { ...empty, chainHash: genesisChainHash }))
  }
  const remembered = await cell.read()
  const first = remembered ?? signTreeHead(keys, origin, 0, { treeSize: 0, root: emptyRoot }, nowMs)
  if (remembered === undefined) await cell.write(first)
  if ((await readNewestCheckpoint(signer, schema)) === undefined) await insertCheckpoint(signer, schema, first)
}

/** Whether the database holds a log. */
export async function hasLog(writer: Query, schema: Schema): Promise<boolean> {
  return (await readWriterHead(writer, schema)) !== undefined
}

const genesisChainHash = new Uint8Array(32) as Hash
