import { asLeafIndex, asTreeSize, type LeafIndex, type TreeSize } from '../../tlog/coords.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { slotCount, tileWidth } from '../../tlog/tile.ts'
import { buildPyramid, upperNodesIn } from '../../tlog/tile-nodes.ts'
import { checkTileOnPath, type FirstLeafProof } from '../../tlog/tile-path.ts'
import type { Follower, Step } from '../follow.ts'
import type { FiledTile, TileFiles, TilePlace } from './tile-files.ts'

export type TileSource = {
  /** A full tile of the published tree; unchecked. */
  readonly readTile: (level: number, index: number, width: number) => Promise<Uint8Array>
  /** The proof of a leaf in the published tree; checked. */
  readonly prove: (index: LeafIndex) => Promise<FirstLeafProof>
}

/** Of one step: some 4 ms of hashing. */
const tilesMax = 16

/** Copies the full tiles of the published tree into files, each checked against its root. */
export function tileFiler(files: TileFiles, source: TileSource, hash: Sha256): Follower {
  return {
    name: 'tile files',
    readPosition: async () => files.count(0) * tileWidth,
    step: async (upTo) => {
      const size = asTreeSize(upTo)
      const next = nextOf(files, size)
      if (next !== undefined) {
        const tiles = await Promise.all(next.map((place) => readChecked(source, place, hash)))
        await files.write(next[0] as TilePlace, tiles)
      }
      return stepOf(files, size, next !== undefined)
    },
  }
}

function stepOf(files: TileFiles, size: TreeSize, hasWorked: boolean): Step {
  const isDone = files.damaged.length === 0 && nextOf(files, size) === undefined
  return { position: isDone ? size : Math.min(size, files.count(0) * tileWidth), hasWorked }
}

/** What is damaged, one by one; then what is missing, the lowest level first. */
function nextOf(files: TileFiles, size: TreeSize): readonly TilePlace[] | undefined {
  const [damaged] = files.damaged
  if (damaged !== undefined) return [damaged]
  for (let level = 0; slotCount(level + 1, size) > 0; level++) {
    const [from, to] = [files.count(level), slotCount(level + 1, size)]
    if (from >= to) continue
    return Array.from({ length: Math.min(tilesMax, to - from) }, (_, i) => ({ level, index: from + i }))
  }
  return undefined
}

async function readChecked(source: TileSource, place: TilePlace, hash: Sha256): Promise<FiledTile> {
  const { level, index } = place
  const tile = await source.readTile(level, index, tileWidth)
  const first = asLeafIndex(index * tileWidth ** (level + 1))
  const pyramid = buildPyramid(tile, hash)
  checkTileOnPath(level, index, pyramid, await source.prove(first), hash)
  return { tile, upperNodes: upperNodesIn(pyramid) }
}
