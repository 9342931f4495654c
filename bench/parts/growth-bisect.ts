// A second copy of the tiles in which one leaf is another one, with all tiles above it: how soon `verify --against` names it.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { TileFiles } from '../../src/tiles/tile-files.ts'
import { hashBytes } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { buildPyramid, rootOfFullTile, upperNodesIn } from '../../tlog/tile-nodes.ts'
import { randomOf } from '../events.ts'
import type { FindingsList, PartContext } from '../part.ts'
import { readVerifier } from '../published.ts'
import { removeFolder } from '../run-folder.ts'
import type { ServerProcess } from '../server-process.ts'

const program = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js')

/** Seconds of the whole program, and of the comparison in it. */
export async function measureBisect(
  context: PartContext,
  server: ServerProcess,
  size: number,
  list: FindingsList,
): Promise<void> {
  const folder = join(context.folder, 'second-copy')
  await cp(join(server.dataDir, 'tiles'), folder, { recursive: true })
  const files = await TileFiles.open(folder, (await readVerifier(server)).name)
  try {
    const random = randomOf(size)
    for (let run = 1; run <= context.plan.runs; run++) {
      context.progress(`growth: ${size} entries, a second copy, run ${run} of ${context.plan.runs}`)
      const leaf = Math.floor(random() * files.count(0) * tileWidth)
      const before = await replaceLeaf(files, leaf, randomBytes(hashBytes))
      const startedAt = performance.now()
      const { leaves, seconds } = await compare(server.dataDir, folder)
      list.add('growth.bisectProgram', (performance.now() - startedAt) / 1_000)
      list.add('growth.bisect', seconds)
      if (String(leaves) !== String([leaf])) throw new Error(`leaf ${leaf} is another one; told: ${leaves}`)
      await replaceLeaf(files, leaf, before)
    }
  } finally {
    await files.close()
    await removeFolder(folder)
  }
}

/** The hash that was there. Tiles that are not full are made from those below them, and are in no file. */
async function replaceLeaf(files: TileFiles, leaf: number, hash: Uint8Array): Promise<Uint8Array> {
  let [slot, replaced, inTile] = [leaf, undefined as Uint8Array | undefined, hash]
  for (let level = 0; ; level++) {
    const index = Math.floor(slot / tileWidth)
    const stored = await files.readTile({ level, index })
    if (stored === undefined) break
    const tile = Uint8Array.from(stored)
    const at = (slot % tileWidth) * hashBytes
    replaced ??= tile.slice(at, at + hashBytes)
    tile.set(inTile, at)
    await files.write({ level, index }, [{ tile, upperNodes: upperNodesIn(buildPyramid(tile, nativeSha256)) }])
    inTile = rootOfFullTile(tile, nativeSha256)
    slot = index
  }
  if (replaced === undefined) throw new Error(`leaf ${leaf} is in no file`)
  return replaced
}

type Comparison = { readonly differences: readonly { readonly leafIndex: number }[]; readonly seconds: number }

async function compare(dataDir: string, folder: string): Promise<{ leaves: readonly number[]; seconds: number }> {
  const env = { PATH: process.env.PATH, DENDROLOG_DATA_DIR: dataDir }
  const child = spawn(process.execPath, [program, 'verify', '--against', folder, '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const output = await text(child.stdout)
  await ended
  const { differences, seconds } = JSON.parse(output) as Comparison
  return { leaves: differences.map(({ leafIndex }) => leafIndex), seconds }
}
