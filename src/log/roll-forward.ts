// A database that is older than what was signed (ROLLBACK) gets back what it lost, from a newer copy. Nothing of the copy
// is believed: entries are hashed anew from their columns, heads must have the log's seal, checkpoints its signatures, and
// the tree must contain the checkpoint that the signer remembers. All entries are of one transaction: all, or nothing.
import { equalBytes } from '../../tlog/bytes.ts'
import { asCompactRange, rangeRoot } from '../../tlog/compact-range.ts'
import { asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { emptyRoot, type Hash, type Sha256 } from '../../tlog/hash.ts'
import { planConsistencyProof, readHashesOfPlan } from '../../tlog/proof.ts'
import { checkEdge, edgeFromTiles } from '../../tlog/tree-edge.ts'
import { checkConsistency } from '../../tlog/verify.ts'
import { type Schema, type TreeHead, writeBatch } from '../store/batch.ts'
import { insertCheckpoint, readNewestCheckpoint, type StoredCheckpoint } from '../store/checkpoints.ts'
import { ensurePartitions } from '../store/heads.ts'
import type { Query, Session } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'
import { readCopiedBatch } from './copied-batch.ts'
import { checkSigned } from './follow-checkpoints.ts'
import { isMismatch, LogIncident } from './incident.ts'
import type { LogState } from './integrate.ts'
import type { LogKeys } from './log-keys.ts'
import { readSealedState } from './log-state.ts'
import { type MissingCheckpoints, readMissingCheckpoints } from './missing-checkpoints.ts'
import { CannotRecover, type RollSource } from './roll-source.ts'
import { isSealed } from './seal.ts'
import { sealedRows } from './sealed-rows.ts'
import { Signer } from './signer.ts'
import type { SignerCell } from './signer-cell.ts'

export type RollOptions = {
  readonly origin: string
  readonly keys: LogKeys
  readonly cell: SignerCell
  readonly schema: Schema
  readonly hash: Sha256
  readonly writer: Query
  readonly signer: Query
  /** The writer's, for one long transaction; undefined where all is tried and nothing is written. */
  readonly session: Session | undefined
  /** Undefined where there is none: then only what the database has itself can help. */
  readonly source: RollSource | undefined
  readonly onProgress: (size: number, of: number) => void
  /** Until the commit is sent nothing has happened. */
  readonly signal: AbortSignal
}

export type RolledForward = {
  /** Entries of the database before, and now (where nothing was written: as they would be). */
  readonly fromSize: number
  readonly toSize: number
  /** The size that was signed last. */
  readonly signedSize: number
  /** How many checkpoints were copied, and how many the source had not: their numbers are given again. */
  readonly checkpoints: number
  readonly lostCheckpoints: number
  /** Why entries of the source behind the last checkpoint were left out; undefined where none were. */
  readonly leftOut: string | undefined
}

const headsAtOnce = 1_000
const partitionEntries = 65_536

/**
 * Rolls the log forward, whose lock the caller has, until it contains what the signer remembers; then, in what the source
 * has behind that, as far as the log's seal shows that it was committed and may have been answered for. Throws LogIncident
 * where the database is no older state of the log (FORKED and others), CannotRecover where the source does not help.
 */
export async function rollForward(options: RollOptions): Promise<RolledForward> {
  const { session, source, schema, signer, cell } = options
  const last = await readLast(options)
  const start = await readSealedState(options)
  const lacking = start.edge.size < last.treeSize ? await checkSource(options, last, start) : undefined
  if (lacking === undefined) await checkContains(options, last)
  const stored = await readNewestCheckpoint(signer, schema)
  checkNotStale(stored, last)
  const missing = await readMissingCheckpoints(options, source, stored, last)
  const { state, leftOut } = await rollEntries(options, last, missing, lacking, start)
  const end = (stored?.number ?? -1) + missing.count
  const lostCheckpoints = Math.max(0, last.number - 1 - end)
  if (session !== undefined) {
    for await (const checkpoint of missing.read()) await insertCheckpoint(signer, schema, checkpoint)
    if (lostCheckpoints > 0) await cell.write({ ...last, number: end + 1 })
    await openSigner(options)
  }
  const sizes = { fromSize: start.edge.size, toSize: state.edge.size, signedSize: last.treeSize }
  return { ...sizes, checkpoints: missing.count, lostCheckpoints, leftOut }
}

async function readLast({ cell, origin, keys }: RollOptions): Promise<StoredCheckpoint> {
  const last = await cell.read()
  if (last === undefined) {
    throw new CannotRecover(
      "the signer's memory is missing: nobody knows what has to be recovered. Put it back, or end this log",
    )
  }
  checkSigned({ origin, keys }, last)
  return last
}

function checkNotStale(stored: StoredCheckpoint | undefined, last: StoredCheckpoint): void {
  if (stored === undefined || stored.timestampMs <= last.timestampMs) return
  throw new CannotRecover(
    `the signer's memory is older than the database: it is of checkpoint ${last.number}, the database has ` +
      `${stored.number}. Put the newest memory back, or end this log`,
  )
}

async function checkContains({ signer, schema, hash }: RollOptions, last: StoredCheckpoint): Promise<void> {
  const size = asTreeSize(last.treeSize)
  try {
    checkEdge(await edgeFromTiles(openTileStore(signer, schema, hash), size, hash), last.root, hash)
  } catch (cause) {
    if (!isMismatch(cause)) throw cause
    const detail = `the database's first ${size} entries are not those of checkpoint ${last.number}`
    throw new LogIncident('FORKED', detail, { cause })
  }
}

/** As a server does at its start: what it throws, that would. */
async function openSigner({ origin, keys, cell, signer: query, schema, hash }: RollOptions): Promise<void> {
  await Signer.open({ origin, sealKey: keys.sealKey, keys: keys.signing, cell, query, schema, hash })
}

/** The source, which contains what was signed, and of which the database is the beginning; FORKED where it is not. */
async function checkSource(
  { source, origin, keys, hash }: RollOptions,
  { treeSize, number, root }: StoredCheckpoint,
  start: LogState,
): Promise<RollSource> {
  const { size } = start.edge
  if (source === undefined) {
    throw new CannotRecover(`entries ${size + 1} to ${treeSize} are missing: name a newer copy (--from)`)
  }
  const [signed] = await source.readHeads(treeSize - 1, 1)
  const contains = signed?.treeSize === treeSize && isSealed(keys.sealKey, origin, signed)
  if (!contains || !equalBytes(signed.root, root)) {
    throw new CannotRecover(`the source does not contain the ${treeSize} entries of checkpoint ${number}`)
  }
  const beginning = await readBeginning(source, size, { treeSize: asTreeSize(treeSize), root }, hash)
  if (equalBytes(beginning, start.root)) return source
  const detail = `the database's ${size} entries are not the beginning of what was signed: nothing leads from there`
  throw new LogIncident('FORKED', detail)
}

/** The root of the first `size` entries by the source's tiles, which prove it to be of the beginning of the signed tree. */
async function readBeginning(
  { tiles }: RollSource,
  size: TreeSize,
  signed: { readonly treeSize: TreeSize; readonly root: Hash },
  hash: Sha256,
): Promise<Hash> {
  if (size === 0) return emptyRoot
  try {
    const { frontier } = await edgeFromTiles(tiles, size, hash)
    const root = rangeRoot(asCompactRange(size, frontier), hash)
    const plan = planConsistencyProof(size, signed.treeSize)
    const proof = await readHashesOfPlan(tiles, plan, signed.treeSize, hash)
    checkConsistency(size, signed.treeSize, root, signed.root, proof, hash)
    return root
  } catch (cause) {
    if (!isMismatch(cause)) throw cause
    throw new CannotRecover('the tiles of the source are not those of the tree that was signed', { cause })
  }
}

async function rollEntries(
  options: RollOptions,
  last: StoredCheckpoint,
  missing: MissingCheckpoints,
  source: RollSource | undefined,
  start: LogState,
): Promise<Rolled> {
  if (source === undefined) return { state: start, leftOut: undefined }
  return new Roll(options, last, missing).run(source, start)
}

type Rolled = { readonly state: LogState; readonly leftOut: string | undefined }

/** The entries of a source, batch by batch. */
class Roll {
  readonly #options: RollOptions
  readonly #last: StoredCheckpoint
  readonly #missing: MissingCheckpoints
  #partitionedTo = 0

  constructor(options: RollOptions, last: StoredCheckpoint, missing: MissingCheckpoints) {
    this.#options = options
    this.#last = last
    this.#missing = missing
  }

  async run(source: RollSource, start: LogState): Promise<Rolled> {
    const { session } = this.#options
    await session?.query('begin')
    try {
      const rolled = await this.#copy(source, start)
      this.#missing.checkAllMet(rolled.state.edge.size)
      await session?.commit()
      return rolled
    } catch (error) {
      await session?.query('rollback').catch(() => {})
      throw error
    }
  }

  async #copy(source: RollSource, start: LogState): Promise<Rolled> {
    let state = start
    for (;;) {
      const heads = await source.readHeads(state.edge.size, headsAtOnce)
      for (const head of heads) {
        try {
          state = await this.#append(source, state, head)
        } catch (error) {
          if (!(error instanceof CannotRecover) || state.edge.size < this.#last.treeSize) throw error
          return { state, leftOut: error.message }
        }
      }
      if (heads.length < headsAtOnce) return { state, leftOut: undefined }
    }
  }

  async #append(source: RollSource, before: LogState, head: TreeHead): Promise<LogState> {
    const { schema, hash, session, origin, keys, onProgress, signal } = this.#options
    signal.throwIfAborted()
    if (!this.#isSealed(head)) throw new CannotRecover(`the source's head of size ${head.treeSize} has no valid seal`)
    const batch = await readCopiedBatch(source, before, head, hash)
    this.#missing.meet(head)
    if (session !== undefined) {
      await this.#preparePartitions(head.treeSize)
      await writeBatch(session, schema, sealedRows(batch, { origin, sealKey: keys.sealKey }))
    }
    onProgress(head.treeSize, Math.max(head.treeSize, this.#last.treeSize))
    return batch.after
  }

  #isSealed(head: TreeHead): boolean {
    return isSealed(this.#options.keys.sealKey, this.#options.origin, head)
  }

  async #preparePartitions(upTo: number): Promise<void> {
    if (upTo <= this.#partitionedTo) return
    await ensurePartitions(this.#options.writer, this.#options.schema, upTo)
    this.#partitionedTo = Math.ceil(upTo / partitionEntries) * partitionEntries
  }
}
