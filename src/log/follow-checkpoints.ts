import { encodeUtf8, equalBytes, parseBase64 } from '../../tlog/bytes.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { checkReceiptHead } from '../../tlog/cose-checkpoint.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { type NoteVerifier, textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { planConsistencyProof, readHashesOfPlan } from '../../tlog/proof.ts'
import { checkSth, decodeDigitallySigned } from '../../tlog/sth.ts'
import { checkConsistency } from '../../tlog/verify.ts'
import { nodeSignatureCheck } from '../ops/signing.ts'
import type { Schema } from '../store/batch.ts'
import { readNewestCheckpoint, type StoredCheckpoint } from '../store/checkpoints.ts'
import type { Query } from '../store/session.ts'
import { type PublishedCheckpoint, type Witnessing, withoutCosignatures } from './cosigned.ts'
import { LogIncident } from './incident.ts'
import type { LogKeys } from './log-keys.ts'
import { readCosigned, readNewestWitnessed } from './witnessed-checkpoints.ts'

export type FollowedLog = {
  readonly origin: string
  readonly keys: Pick<LogKeys, 'vkey' | 'sthPublicKey'>
  /** The auditors' login. */
  readonly query: Query
  readonly schema: Schema
  readonly tiles: TileReader
  readonly hash: Sha256
  readonly witnessing?: Witnessing | undefined
}

/**
 * Reads the newest checkpoint of the database that may be published: undefined where it is the `last` one. It is served only if both
 * signatures are the log's, and stored tiles show that its tree extends that of `last`. Throws LogIncident FORKED
 * where that is not so, ROLLBACK where the database has less than was served.
 */
export async function readFollowingCheckpoint(
  log: FollowedLog,
  last: StoredCheckpoint,
): Promise<PublishedCheckpoint | undefined> {
  const signed = await readNewestCheckpoint(log.query, log.schema)
  // One less: the signer remembers a checkpoint before it stores it.
  if (signed === undefined || signed.number < last.number - 1) {
    const found = signed === undefined ? 'no checkpoint' : `checkpoint ${signed.number} as the newest`
    throw new LogIncident('ROLLBACK', `the database has ${found}, ${last.number} was published`)
  }
  const newest = await publishable(log, signed, last)
  if (newest === undefined || newest.number < last.number) return undefined
  if (newest.number === last.number && newest.note === last.note) return undefined
  try {
    checkSigned(log, newest)
    checkGrows(newest, last)
    await checkConsistent(log, newest, last)
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    const detail = `checkpoint ${newest.number} of the database is not one that this log signed after ${last.number}`
    throw new LogIncident('FORKED', detail, { cause })
  }
  return newest
}

/** `signed`, or where witnesses are waited for the newest behind `last` that they have cosigned. */
async function publishable(
  log: FollowedLog,
  signed: StoredCheckpoint,
  last: StoredCheckpoint,
): Promise<PublishedCheckpoint | undefined> {
  const { query, schema, witnessing } = log
  if (witnessing === undefined) return withoutCosignatures(signed)
  if (witnessing.isAwaited) return readWitnessedAfter(log, last.number, signed.number)
  return (await readCosigned(query, schema, witnessing, signed)).checkpoint
}

/** The newest that the witnesses have cosigned of those behind `after`, up to `last`; undefined without one. */
export async function readWitnessedAfter(
  log: FollowedLog,
  after: number,
  last: number,
): Promise<PublishedCheckpoint | undefined> {
  const { query, schema, witnessing } = log
  const range = { first: after + 1, last }
  const check = (checkpoint: StoredCheckpoint): void => checkSigned(log, checkpoint)
  return witnessing && readNewestWitnessed(query, schema, witnessing, check, range)
}

/** Throws TlogError unless note and STH are the log's, of the tree head that the other columns say. */
export function checkSigned({ origin, keys }: Pick<FollowedLog, 'origin' | 'keys'>, signed: StoredCheckpoint): void {
  const { checkpoint } = openCheckpoint(encodeUtf8(signed.note), origin, [verifierOf(keys)])
  if (checkpoint.size !== signed.treeSize || !equalBytes(checkpoint.root, signed.root)) {
    throw new TlogError('root-mismatch', `checkpoint ${signed.number}: its note is of another tree head`)
  }
  const signature = decodeDigitallySigned(signed.sthSignature)
  const sth = { size: checkpoint.size, timestampMs: signed.timestampMs, root: checkpoint.root, signature }
  const sthKey = parseBase64(keys.sthPublicKey)
  checkSth(sth, sthKey, nodeSignatureCheck)
  if (signed.coseSignature !== null) {
    checkReceiptHead({ origin, spki: sthKey, check: nodeSignatureCheck }, signed, signed.coseSignature)
  }
}

export function verifierOf({ vkey }: Pick<LogKeys, 'vkey'>): NoteVerifier {
  return textVerifier(parseVkey(vkey), nodeSignatureCheck)
}

function checkGrows(newest: StoredCheckpoint, last: StoredCheckpoint): void {
  const isLater = newest.number > last.number && newest.timestampMs > last.timestampMs
  if (isLater && newest.treeSize >= last.treeSize) return
  throw new TlogError('root-mismatch', `checkpoint ${newest.number} of ${newest.treeSize} entries goes back`)
}

/** By tiles that are durable: whoever asks for a proof under the checkpoint finds them. */
async function checkConsistent(
  { tiles, hash }: FollowedLog,
  newest: StoredCheckpoint,
  last: StoredCheckpoint,
): Promise<void> {
  const [from, to] = [asTreeSize(last.treeSize), asTreeSize(newest.treeSize)]
  if (from === 0) return
  const proof = await readHashesOfPlan(tiles, planConsistencyProof(from, to), to, hash)
  checkConsistency(from, to, last.root, newest.root, proof, hash)
}
