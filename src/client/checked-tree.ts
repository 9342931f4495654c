import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { Checkpoint } from '../../tlog/checkpoint.ts'
import { asCompactRange, rangeRoot } from '../../tlog/compact-range.ts'
import { asLeafIndex, type TreeSize } from '../../tlog/coords.ts'
import { decodeEntryBundle, tileOfEntryBundle } from '../../tlog/entry-bundle.ts'
import { TlogError } from '../../tlog/errors.ts'
import { type Hash, hashBytes } from '../../tlog/hash.ts'
import type { LogReader, TileReader } from '../../tlog/log-reader.ts'
import { buildInclusionProof } from '../../tlog/proof.ts'
import { formatBundlePath, formatTilePath, slotCount, tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import { edgeFromPartials } from '../../tlog/tree-edge.ts'
import { type ServedFile, ServedMismatch, unlessUnfit } from './errors.ts'

/** Full tiles that a tree remembers, 8 KiB each: all that the proofs of a walk through the leaves share. */
const tilesKept = 128

/** Opens the tree of a checkpoint. Reads its partial tiles, one a level, and refuses those that do not make its root. */
export async function openTree(reader: LogReader, checkpoint: Checkpoint): Promise<CheckedTree> {
  const partials = await readPartials(reader, checkpoint.size)
  const root = rootOf(checkpoint.size, partials)
  if (!equalBytes(root, checkpoint.root)) {
    const files = partials.flatMap((bytes, level) =>
      bytes.length === 0 ? [] : [lastTile(level, bytes, checkpoint.size)],
    )
    throw mismatch('TILE_MISMATCH', `the partial tiles of size ${checkpoint.size}`, files)
  }
  return new CheckedTree(reader, checkpoint, partials)
}

/**
 * The tree of one checkpoint. What it hands out is under the checkpoint's root: a partial tile because the root is made
 * of those, a full tile because its root is a slot of the tile above it, a bundle because its leaves have the hashes of
 * their tile. What does not fit is a `ServedMismatch`, which is a `CouldNotCheck`: tiles are not signed, and whoever
 * stands between may have changed them.
 */
export class CheckedTree implements TileReader {
  readonly checkpoint: Checkpoint
  readonly #reader: LogReader
  readonly #partials: readonly Uint8Array[]
  /** Full tiles that were checked, or are being read, the one that was used last at the end. */
  readonly #kept = new Map<string, Promise<Uint8Array>>()

  constructor(reader: LogReader, checkpoint: Checkpoint, partials: readonly Uint8Array[]) {
    this.#reader = reader
    this.checkpoint = checkpoint
    this.#partials = partials
  }

  /** Throws `out-of-range` where the tree has no such slots. */
  async readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    const whole = tileAtSize(level, index, this.checkpoint.size)
    if (width > whole.width) {
      throw new TlogError(
        'out-of-range',
        `tile ${level}/${index}: ${whole.width} slots at size ${this.checkpoint.size}`,
      )
    }
    const tile = whole.width < tileWidth ? this.#partials[level] : await this.#readFull(level, index)
    return (tile as Uint8Array).slice(0, hashBytes * width)
  }

  /** The leaves of bundle `index`, as many as the tree has of it, in order. */
  async readLeaves(index: number): Promise<Uint8Array[]> {
    const { width } = tileAtSize(0, index, this.checkpoint.size)
    const tile = await this.readTile(0, index, width)
    const bundle = await this.#reader.readEntryBundle(index, width)
    const leaves = unlessUnfit(() => decodeEntryBundle(bundle, width))
    if (equalBytes(tileOfEntryBundle(bundle, width), tile)) return leaves
    throw mismatch('LEAF_MISMATCH', `entry bundle ${index}`, [
      { path: formatBundlePath({ index, width }), bytes: bundle },
      { path: formatTilePath({ level: 0, index, width }), bytes: tile },
    ])
  }

  /** The audit path of a leaf, its sibling first. */
  proveInclusion(index: number): Promise<Hash[]> {
    return buildInclusionProof(this, asLeafIndex(index), this.checkpoint.size)
  }

  /** Root of the first `size` leaves of this tree: an older checkpoint of this size with another root is a fork. */
  async rootAt(size: TreeSize): Promise<Hash> {
    return rootOf(size, await readPartials(this, size))
  }

  #readFull(level: number, index: number): Promise<Uint8Array> {
    const key = `${level}/${index}`
    const tile = this.#kept.get(key) ?? this.#readChecked(level, index)
    this.#kept.delete(key)
    this.#kept.set(key, tile)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= tilesKept) break
      this.#kept.delete(oldest)
    }
    tile.catch(() => this.#kept.delete(key))
    return tile
  }

  async #readChecked(level: number, index: number): Promise<Uint8Array> {
    const parent = Math.floor(index / tileWidth)
    const slot = index % tileWidth
    const [tile, above] = await Promise.all([
      this.#reader.readTile(level, index, tileWidth),
      this.readTile(level + 1, parent, slot + 1),
    ])
    const want = above.subarray(hashBytes * slot)
    if (tile.length === hashBytes * tileWidth && equalBytes(rootOfFullTile(tile), want)) return tile
    throw mismatch('TILE_MISMATCH', `tile ${level}/${index}, want root ${formatHex(want)}:`, [
      { path: formatTilePath({ level, index, width: tileWidth }), bytes: tile },
      { path: formatTilePath({ level: level + 1, index: parent, width: slot + 1 }), bytes: above },
    ])
  }
}

/** The last tile of each level where it is not full at `size`; a wider tree has them as beginnings of its own. */
function readPartials(reader: TileReader, size: TreeSize): Promise<Uint8Array[]> {
  const reads: Promise<Uint8Array>[] = []
  for (let level = 0; slotCount(level, size) > 0; level++) {
    const width = slotCount(level, size) % tileWidth
    const index = Math.floor(slotCount(level, size) / tileWidth)
    reads.push(width === 0 ? Promise.resolve(new Uint8Array(0)) : reader.readTile(level, index, width))
  }
  return Promise.all(reads)
}

function rootOf(size: TreeSize, partials: readonly Uint8Array[]): Hash {
  return rangeRoot(asCompactRange(size, unlessUnfit(() => edgeFromPartials(size, partials)).frontier))
}

function lastTile(level: number, bytes: Uint8Array, size: TreeSize): ServedFile {
  const width = bytes.length / hashBytes
  return { path: formatTilePath({ level, index: Math.floor(slotCount(level, size) / tileWidth), width }), bytes }
}

function mismatch(kind: ServedMismatch['kind'], what: string, files: readonly ServedFile[]): ServedMismatch {
  return new ServedMismatch(kind, `${what} does not make the root of the checkpoint`, files)
}
