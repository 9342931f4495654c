import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafRange, type TreeSize } from '../../tlog/coords.ts'
import { type Hash, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { foldPlan, planInclusionProof, readHashesOfPlan } from '../../tlog/proof.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { rootInPyramid, type TilePyramid } from '../../tlog/tile-nodes.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { entryJsonBytesMax, writeEntryJson } from './entry-json.ts'
import { JsonWriter } from './json-writer.ts'
import type { EntryWithLeaf } from './receipt.ts'
import type { TileCache } from './tile-cache.ts'

/**
 * Writes receipts. Those of one checkpoint share its tiles: of each, the way up to the root is read and checked once,
 * and every root is computed once. (A proof of its own for each took half of a receipt's time.)
 */
export class ReceiptWriter {
  readonly #tiles: TileCache
  readonly #hash: Sha256
  #checkpoint: StoredCheckpoint | undefined
  #noteJson: Uint8Array = new Uint8Array(0)
  #proofs = new Map<number, Promise<TileProofs>>()

  constructor(tiles: TileCache, hash: Sha256) {
    this.#tiles = tiles
    this.#hash = hash
  }

  /**
   * The receipt of an entry: all that a client needs to check it offline, as JSON in UTF-8. Throws where the entry's
   * leaf is not in the tree of the checkpoint.
   */
  async write(entry: EntryWithLeaf, checkpoint: StoredCheckpoint): Promise<Uint8Array<ArrayBuffer>> {
    const leafIndex = entry.sequenceNumber - 1
    const proofs = await this.#proofsOf(Math.floor(leafIndex / tileWidth), checkpoint)
    const path = proofs.pathOf(leafIndex % tileWidth, leafHash(entry.leaf, this.#hash))
    const note = checkpoint === this.#checkpoint ? this.#noteJson : encodeUtf8(JSON.stringify(checkpoint.note))
    const json = new JsonWriter(entryJsonBytesMax(entry) + 2 * entry.leaf.length + note.length + proofBytesMax)
    json.raw(beforeEntry)
    writeEntryJson(json, entry)
    json.raw(beforeLeaf)
    json.base64(entry.leaf)
    json.raw(beforeIndex)
    json.integer(leafIndex)
    json.raw(beforeSize)
    json.integer(checkpoint.treeSize)
    json.raw(beforeHashes)
    writeHashes(json, path)
    json.raw(beforeNote)
    json.raw(note)
    json.raw(end)
    return json.take()
  }

  #proofsOf(tile: number, checkpoint: StoredCheckpoint): Promise<TileProofs> {
    if (checkpoint.number > (this.#checkpoint?.number ?? -1)) {
      this.#checkpoint = checkpoint
      this.#noteJson = encodeUtf8(JSON.stringify(checkpoint.note))
      this.#proofs = new Map()
    }
    if (checkpoint !== this.#checkpoint) return TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    const kept = this.#proofs.get(tile)
    if (kept !== undefined) return kept
    const proofs = TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    this.#proofs.set(tile, proofs)
    proofs.catch(() => this.#proofs.delete(tile))
    return proofs
  }
}

/** The audit paths of the leaves of one tile under one checkpoint. */
class TileProofs {
  readonly #pyramid: TilePyramid
  readonly #width: TreeSize
  readonly #hash: Sha256
  /** From the tile's own root upwards. */
  readonly #upper: readonly Hash[]
  /** Roots of slots lo to hi - 1, at lo * 512 + hi. */
  readonly #roots = new Map<number, Hash>()

  private constructor(pyramid: TilePyramid, width: TreeSize, upper: readonly Hash[], hash: Sha256) {
    this.#pyramid = pyramid
    this.#width = width
    this.#hash = hash
    this.#upper = upper
  }

  /** Checks the way from the tile's first leaf to the signed root: with it, that of all its leaves. */
  static async open(tiles: TileCache, tile: number, checkpoint: StoredCheckpoint, hash: Sha256): Promise<TileProofs> {
    const size = asTreeSize(checkpoint.treeSize)
    const { level, index, width } = tileAtSize(0, tile, size)
    const pyramid = await tiles.readPyramid(level, index, width)
    const first = asLeafIndex(tile * tileWidth)
    const lowerPlan = planInclusionProof(asLeafIndex(0), asTreeSize(width))
    const upperPlan = planInclusionProof(first, size).slice(lowerPlan.length)
    const upper = await readHashesOfPlan(tiles, upperPlan, size, hash)
    const proofs = new TileProofs(pyramid, asTreeSize(width), upper, hash)
    const path = [...lowerPlan.map((range) => proofs.#rootOf(range)), ...upper]
    checkInclusion(first, size, rootInPyramid(pyramid, 0, 1), path, checkpoint.root, hash)
    return proofs
  }

  /** The audit path of a leaf. Throws unless the slot holds this leaf hash. */
  pathOf(slot: number, leaf: Hash): readonly Hash[] {
    const got = rootInPyramid(this.#pyramid, slot, slot + 1)
    if (!equalBytes(got, leaf)) {
      throw new Error(`slot ${slot} of a tile holds ${formatHex(got)}, the entry's leaf hash is ${formatHex(leaf)}`)
    }
    const path = planInclusionProof(asLeafIndex(slot), this.#width).map((range) => this.#rootOf(range))
    for (const hash of this.#upper) path.push(hash)
    return path
  }

  #rootOf(range: LeafRange): Hash {
    const key = range.lo * 512 + range.hi
    const kept = this.#roots.get(key)
    if (kept !== undefined) return kept
    const root = this.#computeRoot(range)
    this.#roots.set(key, root)
    return root
  }

  /** Within a tile, a node of the tree has its level and index there: level 0 tiles begin at a multiple of 256. */
  #computeRoot(range: LeafRange): Hash {
    const nodeOf = ({ level, index }: { level: number; index: number }): Hash => {
      const width = 2 ** level
      return rootInPyramid(this.#pyramid, index * width, (index + 1) * width)
    }
    return foldPlan(nodeOf, [range], this.#hash)[0] as Hash
  }
}

const beforeEntry = encodeUtf8('{"entry":')
const beforeLeaf = encodeUtf8(',"leaf":"')
const beforeIndex = encodeUtf8('","inclusionProof":{"leafIndex":')
const beforeSize = encodeUtf8(',"treeSize":')
const beforeHashes = encodeUtf8(',"hashes":[')
const beforeNote = encodeUtf8(']},"checkpoint":')
const end = encodeUtf8('}')
/** 53 hashes of 47 characters, and the members around them. */
const proofBytesMax = 2_700

function writeHashes(json: JsonWriter, hashes: readonly Hash[]): void {
  hashes.forEach((hash, i) => {
    json.ascii(i === 0 ? '"' : ',"')
    json.base64(hash)
    json.ascii('"')
  })
}
