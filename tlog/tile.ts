import type { TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { hashBytes } from './hash.ts'

// C2SP tlog-tiles: slot i of tile (level, index) is the root of the leaves (256 * index + i) * 256^level onwards,
// 256^level of them. Only complete subtrees have a slot.

/** Slots of a full tile, entries of a full bundle. */
export const tileWidth = 256
export const tileLevelMax = 63

/** `width` is 1 to 256; a tile of 256 is full and never changes, narrower ones are its prefixes. */
export type TileCoord = { readonly level: number; readonly index: number; readonly width: number }
export type BundleCoord = { readonly index: number; readonly width: number }
export type TilePath = ({ readonly kind: 'tile' } & TileCoord) | ({ readonly kind: 'entries' } & BundleCoord)

const pathPattern = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** `tile/0/x001/234.p/5`, without a leading slash. */
export function formatTilePath(coord: TileCoord): string {
  return `tile/${coord.level}/${formatTileIndex(coord.index)}${formatWidth(coord.width)}`
}

/** `tile/entries/x001/234.p/5`, without a leading slash. */
export function formatBundlePath(coord: BundleCoord): string {
  return `tile/entries/${formatTileIndex(coord.index)}${formatWidth(coord.width)}`
}

/**
 * Reads the one spelling of a tile's or bundle's path, percent escapes already decoded. Throws `malformed-tile` for any
 * other text, `out-of-range` for an index above 2^53-1.
 */
export function parseTilePath(path: string): TilePath {
  const [, kind, indexText, widthText] = pathPattern.exec(path) ?? []
  if (kind === undefined || indexText === undefined) throw malformedPath(path)
  const index = parseTileIndex(indexText)
  const width = widthText === undefined ? tileWidth : Number(widthText)
  const level = Number(kind)
  if (level > tileLevelMax || (widthText !== undefined && width >= tileWidth)) throw malformedPath(path)
  return kind === 'entries' ? { kind, index, width } : { kind: 'tile', level, index, width }
}

/** All tiles of a tree, partial ones included; level by level from the leaves, each from left to right. */
export function tilesOfSize(size: TreeSize): Generator<TileCoord, void> {
  return tilesBetween(0 as TreeSize, size)
}

/** The tiles of a tree of `newSize` that one of `oldSize` did not have in this width, in the same order. */
export function* tilesBetween(oldSize: TreeSize, newSize: TreeSize): Generator<TileCoord, void> {
  for (let level = 0; slotCount(level, newSize) > 0; level++) {
    const slots = slotCount(level, newSize)
    const oldSlots = slotCount(level, oldSize)
    const first = Math.floor(oldSlots / tileWidth)
    for (let index = first; slots > oldSlots && index * tileWidth < slots; index++) {
      yield { level, index, width: Math.min(tileWidth, slots - index * tileWidth) }
    }
  }
}

/** Count of slots that all tiles of `level` together have in a tree of `size`. */
export function slotCount(level: number, size: TreeSize): number {
  return Math.floor(size / tileWidth ** level)
}

/** Whether a tree of `size` has all slots of this tile: what a server of that size may answer. */
export function isTileOfSize(coord: TileCoord, size: TreeSize): boolean {
  return coord.width <= slotCount(coord.level, size) - coord.index * tileWidth
}

/** The tile as wide as a tree of `size` has it; throws `out-of-range` where the tree has no slot of it. */
export function tileAtSize(level: number, index: number, size: TreeSize): TileCoord {
  const width = Math.min(tileWidth, slotCount(level, size) - index * tileWidth)
  if (width >= 1) return { level, index, width }
  throw new TlogError('out-of-range', `tile ${level}/${index}: a tree of ${size} leaves has none`)
}

/** Throws `malformed-tile` unless the bytes are 32 for each slot. Says nothing about the hashes themselves. */
export function checkTileLength(coord: TileCoord, bytes: Uint8Array): void {
  const want = hashBytes * coord.width
  if (bytes.length !== want) {
    throw new TlogError('malformed-tile', `${formatTilePath(coord)}: got ${bytes.length} bytes, want ${want}`)
  }
}

function formatTileIndex(index: number): string {
  let text = formatGroup(index)
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    text = `x${formatGroup(rest)}/${text}`
  }
  return text
}

function formatGroup(n: number): string {
  return String(n % 1000).padStart(3, '0')
}

function formatWidth(width: number): string {
  return width === tileWidth ? '' : `.p/${width}`
}

function parseTileIndex(text: string): number {
  const index = text.split('/').reduce((n, group) => n * 1000 + Number(group.replace('x', '')), 0)
  if (!Number.isSafeInteger(index)) throw new TlogError('out-of-range', `tile index: got ${text.slice(0, 80)}`)
  if (formatTileIndex(index) !== text) throw malformedPath(text)
  return index
}

function malformedPath(path: string): TlogError {
  return new TlogError('malformed-tile', `tile path: got ${JSON.stringify(path.slice(0, 80))}`)
}
