import { encodeUtf8 } from '../../tlog/bytes.ts'
import { type Hash, leafHash, type Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { type PublishedCheckpoint, servedNote } from './cosigned.ts'
import { entryJsonBytesMax, writeEntryJson } from './entry-json.ts'
import { JsonWriter } from './json-writer.ts'
import type { EntryWithLeaf } from './receipt.ts'
import type { TileCache } from './tile-cache.ts'
import { TileProofs } from './tile-proofs.ts'

/**
 * Writes receipts. Those of one checkpoint share its tiles: of each, the way up to the root is read and checked once,
 * and every root is computed once. (A proof of its own for each took half of a receipt's time.)
 */
export class ReceiptWriter {
  readonly #tiles: TileCache
  readonly #hash: Sha256
  #checkpoint: PublishedCheckpoint | undefined
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
  async write(entry: EntryWithLeaf, checkpoint: PublishedCheckpoint): Promise<Uint8Array<ArrayBuffer>> {
    const leafIndex = entry.sequenceNumber - 1
    const proofs = await this.#proofsOf(Math.floor(leafIndex / tileWidth), checkpoint)
    const path = proofs.pathOf(leafIndex % tileWidth, leafHash(entry.leaf, this.#hash))
    const note = checkpoint === this.#checkpoint ? this.#noteJson : encodeUtf8(JSON.stringify(servedNote(checkpoint)))
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

  #proofsOf(tile: number, checkpoint: PublishedCheckpoint): Promise<TileProofs> {
    const known = this.#checkpoint
    if (known === undefined || checkpoint.number > known.number) {
      this.#keep(checkpoint)
      this.#proofs = new Map()
    } else if (checkpoint.number < known.number) {
      return TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    } else if (checkpoint.cosignatures.length > known.cosignatures.length) {
      this.#keep(checkpoint)
    }
    const kept = this.#proofs.get(tile)
    if (kept !== undefined) return kept
    const proofs = TileProofs.open(this.#tiles, tile, checkpoint, this.#hash)
    this.#proofs.set(tile, proofs)
    proofs.catch(() => this.#proofs.delete(tile))
    return proofs
  }

  #keep(checkpoint: PublishedCheckpoint): void {
    this.#checkpoint = checkpoint
    this.#noteJson = encodeUtf8(JSON.stringify(servedNote(checkpoint)))
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
