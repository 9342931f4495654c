import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafRange, type TreeSize } from '../../tlog/coords.ts'
import { type Hash, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { foldPlan, planInclusionProof, readHashesOfPlan } from '../../tlog/proof.ts'
import { tileAtSize, tileWidth } from '../../tlog/tile.ts'
import { rootInPyramid, type TilePyramid } from '../../tlog/tile-nodes.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { type EntryWithLeaf, entryJson } from './receipt.ts'
import type { TileCache } from './tile-cache.ts'

/**
 * Writes receipts. Those of one checkpoint share its tiles: of each, the way up to the root is read and checked once,
 * and every hash is spelt once. (A proof of its own for each took 60 kB of garbage and half of a receipt's time.)
 */
export class ReceiptWriter {
  readonly #tiles: TileCache
  readonly #hash: Sha256
  #checkpoint: StoredCheckpoint | undefined
  #noteText = ''
  #proofs = new Map<number, Promise<TileProofs>>()

  constructor(tiles: TileCache, hash: Sha256) {
    this.#tiles = tiles
    this.#hash = hash
  }

  /**
   * The receipt of an entry: all that a client needs to check it offline, as JSON text. Throws where the entry's leaf
   * is not in the tree of the checkpoint.
   */
  async write(entry: EntryWithLeaf, checkpoint: StoredCheckpoint): Promise<string> {
    const leafIndex = entry.fields.sequenceNumber - 1
    const proofs = await this.#proofsOf(Math.floor(leafIndex / tileWidth), checkpoint)
    const hashes = proofs.textOf(leafIndex % tileWidth, leafHash(entry.leaf, this.#hash))
    const note = checkpoint === this.#checkpoint ? this.#noteText : asciiJson(checkpoint.note)
    const proof = `{"leafIndex":${leafIndex},"treeSize":${checkpoint.treeSize},"hashes":[${hashes}]}`
    return `{"entry":${entryJson(entry)},"leaf":"${base64(entry.leaf)}","inclusionProof":${proof},"checkpoint":${note}}`
  }

  #proofsOf(tile: number, checkpoint: StoredCheckpoint): Promise<TileProofs> {
    if (checkpoint.number > (this.#checkpoint?.number ?? -1)) {
      this.#checkpoint = checkpoint
      this.#noteText = asciiJson(checkpoint.note)
      this.#proofs = new Map()
    }
    if (checkpoint !== this.#checkpoint) return TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    const kept = this.#proofs.get(tile) ?? TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    this.#proofs.set(tile, kept)
    kept.catch(() => this.#proofs.delete(tile))
    return kept
  }
}

/** The audit paths of the leaves of one tile under one checkpoint. */
class TileProofs {
  readonly #pyramid: TilePyramid
  readonly #width: TreeSize
  readonly #hash: Sha256
  /** Quoted base64 of the hashes from the tile's own root upwards, joined by commas. */
  readonly #upperText: string
  /** The same of the root of slots lo to hi - 1, at lo * 512 + hi. */
  readonly #texts = new Map<number, string>()

  private constructor(pyramid: TilePyramid, width: TreeSize, upper: readonly Hash[], hash: Sha256) {
    this.#pyramid = pyramid
    this.#width = width
    this.#hash = hash
    this.#upperText = upper.map(quoted).join(',')
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

  /** The audit path of a leaf, quoted base64 joined by commas. Throws unless the slot holds this leaf hash. */
  textOf(slot: number, leaf: Hash): string {
    const got = rootInPyramid(this.#pyramid, slot, slot + 1)
    if (!equalBytes(got, leaf)) {
      throw new Error(`slot ${slot} of a tile holds ${formatHex(got)}, the entry's leaf hash is ${formatHex(leaf)}`)
    }
    const lower = planInclusionProof(asLeafIndex(slot), this.#width).map((range) => this.#rangeText(range))
    if (this.#upperText !== '') lower.push(this.#upperText)
    return lower.join(',')
  }

  #rangeText(range: LeafRange): string {
    const key = range.lo * 512 + range.hi
    const kept = this.#texts.get(key)
    if (kept !== undefined) return kept
    const text = quoted(this.#rootOf(range))
    this.#texts.set(key, text)
    return text
  }

  /** Within a tile, a node of the tree has its level and index there: level 0 tiles begin at a multiple of 256. */
  #rootOf(range: LeafRange): Hash {
    const nodeOf = ({ level, index }: { level: number; index: number }): Hash => {
      const width = 2 ** level
      return rootInPyramid(this.#pyramid, index * width, (index + 1) * width)
    }
    return foldPlan(nodeOf, [range], this.#hash)[0] as Hash
  }
}

/** JSON with escapes for all but ASCII: one dash of a note would make every receipt a string of two bytes a character. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function quoted(hash: Uint8Array): string {
  return `"${base64(hash)}"`
}

/** By Node's own encoder: `formatBase64` of tlog takes several times as long. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
