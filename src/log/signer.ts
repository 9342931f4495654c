import { decodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { encodeSignedHead } from '../../tlog/cose-checkpoint.ts'
import { rawOfDer } from '../../tlog/ecdsa-signature.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'
import { type AnyNoteSigner, signNoteAnywhere } from '../../tlog/note.ts'
import { encodeDigitallySigned, encodeTreeHead } from '../../tlog/sth.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { appendLeafHashes, checkEdge, edgeFromTiles, type TreeEdge } from '../../tlog/tree-edge.ts'
import type { Schema, TreeHead } from '../store/batch.ts'
import { insertCheckpoint, readNewestCheckpoint, type StoredCheckpoint } from '../store/checkpoints.ts'
import { readNewestHead } from '../store/heads.ts'
import type { Query } from '../store/session.ts'
import { openTileStore } from '../store/tile-store.ts'
import { clockSkewMaxMicroseconds } from './clock.ts'
import { isMismatch, LogIncident } from './incident.ts'
import { isSealed, type SealKey } from './seal.ts'
import type { SignerCell } from './signer-cell.ts'
import { describeDamage } from './tile-damage.ts'

/** What signs for the log, here or elsewhere. The key of the STHs (P-256) signs COSE receipts too; `sign` gives DER. */
export type SigningKeys = {
  readonly note: AnyNoteSigner
  readonly sth: { readonly spki: Uint8Array; readonly sign: (message: Uint8Array) => Uint8Array | Promise<Uint8Array> }
}

export type SignerOptions = {
  readonly origin: string
  readonly sealKey: SealKey
  readonly keys: SigningKeys
  readonly cell: SignerCell
  /** The signer's own login: reads heads and tiles, inserts checkpoints. */
  readonly query: Query
  readonly schema: Schema
  readonly hash: Sha256
}

/** Leaves that are read and hashed at a time when the signer is far behind: 2 MiB of hashes. */
const leavesAtOnce = 65_536

/**
 * Signs tree heads, each only after it recomputed it from the stored tiles as an extension of the last one it signed.
 * `#edge` is the tree that it signed last, by its own computation.
 */
export class Signer {
  readonly #options: SignerOptions
  readonly #tiles: TileReader
  #last: StoredCheckpoint
  #edge: TreeEdge

  private constructor(options: SignerOptions, tiles: TileReader, last: StoredCheckpoint, edge: TreeEdge) {
    this.#options = options
    this.#tiles = tiles
    this.#last = last
    this.#edge = edge
  }

  /**
   * Opens the signer on a database that holds what it remembers. Throws ROLLBACK where the database has less, FORKED
   * where it has something else, LOCKED where another server has signed meanwhile. Done at every connect, before
   * anything is sequenced.
   */
  static async open(options: SignerOptions): Promise<Signer> {
    const last = await options.cell.read()
    if (last === undefined) {
      throw new LogIncident('ROLLBACK', 'the signer remembers nothing: its state file is gone, or this is another log')
    }
    try {
      return await Signer.#openAt(options, last)
    } catch (cause) {
      // A server that was stopped, or cut off, may have signed once more between our two looks.
      const now = cause instanceof LogIncident ? await options.cell.read() : last
      if (now?.note === last.note) throw cause
      throw new LogIncident('LOCKED', 'another server has signed meanwhile', { cause })
    }
  }

  static async #openAt(options: SignerOptions, last: StoredCheckpoint): Promise<Signer> {
    const head = await readSealedHead(options)
    checkExtends(head, last)
    const tiles = openTileStore(options.query, options.schema, options.hash)
    const edge = await readSignedEdge(options, tiles, last)
    await reconcileCheckpoints(options, last)
    return new Signer(options, tiles, last, edge)
  }

  get last(): StoredCheckpoint {
    return this.#last
  }

  /**
   * Signs the newest head if it is new, or if the last signature is older than `resignAfterMs`; undefined where there
   * is nothing to sign. `nowMs` is milliseconds since 1970. What it returns is durable in the cell and the database.
   * After a rejection the signer is of no more use: open another.
   */
  async sign(nowMs: number, resignAfterMs: number): Promise<StoredCheckpoint | undefined> {
    const head = await readSealedHead(this.#options)
    checkExtends(head, this.#last)
    checkTime(nowMs, this.#last)
    checkNewest(nowMs, head)
    const isNew = head.treeSize > this.#last.treeSize
    if (!isNew && nowMs - this.#last.timestampMs < resignAfterMs) return undefined
    const edge = await this.#extend(head)
    const checkpoint = await this.#signHead(head, nowMs)
    // From here on the signature exists. It leaves the process only when cell and database have it.
    await this.#options.cell.write(checkpoint)
    this.#last = checkpoint
    this.#edge = edge
    await insertCheckpoint(this.#options.query, this.#options.schema, checkpoint)
    return checkpoint
  }

  /** The edge of the head, recomputed from the last signed one and the stored tiles; ROOT_MISMATCH otherwise. */
  async #extend(head: TreeHead): Promise<TreeEdge> {
    let edge = this.#edge
    while (edge.size < head.treeSize) {
      const to = Math.min(head.treeSize, edge.size + leavesAtOnce)
      const leaves = await readStoredLeaves(this.#tiles, edge.size, to)
      const extended = appendLeafHashes(edge, leaves, this.#options.hash)
      for (const { level, index, hashes } of extended.fullTiles) {
        if (level > 0) await this.#checkStoredTile(level, index, hashes)
      }
      edge = extended.edge
    }
    checkRoot(edge, head, this.#options.hash)
    return edge
  }

  async #checkStoredTile(level: number, index: number, want: Uint8Array): Promise<void> {
    const got = await this.#tiles.readTile(level, index, tileWidth)
    if (!equalBytes(got, want)) {
      throw new LogIncident('ROOT_MISMATCH', `tile ${index} of level ${level} is not made of the tiles below it`)
    }
  }

  #signHead(head: TreeHead, nowMs: number): Promise<StoredCheckpoint> {
    const { origin, keys } = this.#options
    const newestMs = Math.ceil(head.newestTimestamp / 1_000)
    const timestampMs = Math.max(nowMs, this.#last.timestampMs + 1, newestMs)
    return signTreeHead(keys, origin, this.#last.number + 1, head, timestampMs)
  }
}

/** Note, STH and COSE signature of one head. Rejects as the signers do. */
export async function signTreeHead(
  keys: SigningKeys,
  origin: string,
  number: number,
  head: Pick<TreeHead, 'treeSize' | 'root'>,
  timestampMs: number,
): Promise<StoredCheckpoint> {
  const size = asTreeSize(head.treeSize)
  const cose = encodeSignedHead(keys.sth.spki, { origin, treeSize: size, timestampMs, root: head.root })
  const [note, der, coseDer] = await Promise.all([
    signNoteAnywhere(formatCheckpoint({ origin, size, root: head.root }), [keys.note]),
    keys.sth.sign(encodeTreeHead({ size, timestampMs, root: head.root })),
    keys.sth.sign(cose),
  ])
  return {
    number,
    treeSize: head.treeSize,
    root: head.root,
    timestampMs,
    note: decodeUtf8(note),
    sthSignature: encodeDigitallySigned(der),
    coseSignature: rawOfDer(coseDer),
  }
}

/** Throws ROLLBACK where the head is of a smaller tree than the checkpoint, FORKED where it is another of that size. */
export function checkExtends(head: TreeHead, last: StoredCheckpoint): void {
  if (head.treeSize < last.treeSize) {
    const detail = `the database ends at ${head.treeSize} entries, checkpoint ${last.number} signed ${last.treeSize}`
    throw new LogIncident('ROLLBACK', detail)
  }
  if (head.treeSize === last.treeSize && !equalBytes(head.root, last.root)) {
    const roots = `root ${formatHex(head.root)}, checkpoint ${last.number} signed ${formatHex(last.root)}`
    throw new LogIncident('FORKED', `the head of ${head.treeSize} entries has ${roots}`)
  }
}

// One signature of a time far ahead would hold back all later ones, as they never go back.
function checkTime(nowMs: number, last: StoredCheckpoint): void {
  if (last.timestampMs - nowMs <= clockSkewMaxMicroseconds / 1_000) return
  throw new LogIncident('CLOCK_SKEW', `the last signature is of ${last.timestampMs} ms since 1970, now is ${nowMs}`)
}

// Of a sequencer, whose seal this is, the signer takes no date either that its own clock contradicts.
function checkNewest(nowMs: number, head: TreeHead): void {
  if (head.newestTimestamp / 1_000 - nowMs <= clockSkewMaxMicroseconds / 1_000) return
  throw new LogIncident(
    'CLOCK_SKEW',
    `the newest entry is of ${head.newestTimestamp} us since 1970, now is ${nowMs} ms`,
  )
}

/** Leaf hashes of leaf index `from` to `to` - 1 as they are stored: full tiles, then rows. */
export async function readStoredLeaves(tiles: TileReader, from: number, to: number): Promise<Uint8Array> {
  const first = Math.floor(from / tileWidth)
  const count = Math.ceil(to / tileWidth) - first
  const widths = Array.from({ length: count }, (_, i) => Math.min(tileWidth, to - (first + i) * tileWidth))
  const parts = await Promise.all(widths.map((width, i) => tiles.readTile(0, first + i, width)))
  return Buffer.concat(parts).subarray((from - first * tileWidth) * 32)
}

async function readSealedHead(options: SignerOptions): Promise<TreeHead> {
  const head = await readNewestHead(options.query, options.schema)
  if (head === undefined) throw new LogIncident('ROLLBACK', 'the database has no log, but the signer remembers one')
  if (!isSealed(options.sealKey, options.origin, head)) {
    throw new LogIncident('FORGED_HEAD', `the head of size ${head.treeSize} has no valid seal`)
  }
  return head
}

async function readSignedEdge(options: SignerOptions, tiles: TileReader, last: StoredCheckpoint): Promise<TreeEdge> {
  try {
    const edge = await edgeFromTiles(tiles, asTreeSize(last.treeSize), options.hash)
    checkEdge(edge, last.root, options.hash)
    return edge
  } catch (cause) {
    // A database that cannot be asked is no other one.
    if (!isMismatch(cause)) throw cause
    const damage = await describeDamage(options, asTreeSize(last.treeSize), last.root)
    if (damage !== undefined) throw new LogIncident('ROOT_MISMATCH', damage, { cause })
    const detail = `the database's first ${last.treeSize} entries are not those of checkpoint ${last.number}`
    throw new LogIncident('FORKED', `${detail} (root ${formatHex(last.root)})`, { cause })
  }
}

function checkRoot(edge: TreeEdge, head: TreeHead, hash: Sha256): void {
  try {
    checkEdge(edge, head.root, hash)
  } catch (cause) {
    throw new LogIncident('ROOT_MISMATCH', `the head of size ${head.treeSize} is not the root of its tiles`, { cause })
  }
}

// The cell is written before the row: after a crash between the two the database lacks the newest checkpoint.
async function reconcileCheckpoints(options: SignerOptions, last: StoredCheckpoint): Promise<void> {
  const stored = await readNewestCheckpoint(options.query, options.schema)
  const storedNumber = stored?.number ?? -1
  if (storedNumber === last.number) {
    if (stored?.note === last.note) return
    throw new LogIncident('FORKED', `checkpoint ${last.number} in the database is not the one that was signed`)
  }
  if (storedNumber > last.number) {
    throw new LogIncident(
      'ROLLBACK',
      `the signer remembers checkpoint ${last.number}, the database has ${storedNumber}`,
    )
  }
  if (storedNumber < last.number - 1) {
    throw new LogIncident('ROLLBACK', `the database ends at checkpoint ${storedNumber}, ${last.number} was signed`)
  }
  await insertCheckpoint(options.query, options.schema, last)
}
