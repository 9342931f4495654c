import { appendFile, mkdtemp, open, readFile, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Step } from '../../src/follow.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { type TileSource, tileFiler } from '../../src/tiles/tile-filer.ts'
import { TileFiles } from '../../src/tiles/tile-files.ts'
import { formatHex } from '../../tlog/bytes.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { planInclusionProof } from '../../tlog/proof.ts'
import { rootInPart, rootOfSlots, type TilePart } from '../../tlog/tile-nodes.ts'
import { appendLeafHashes, emptyEdge, type FullTile } from '../../tlog/tree-edge.ts'
import { entriesOf, leafHashesOf, referenceTree } from '../tlog/reference-tree.ts'

const origin = 'localhost/tiles'
/** 273 tiles of leaf hashes, one above them. */
const size = 70_000
const tree = referenceTree(entriesOf(size))
const { fullTiles } = appendLeafHashes(emptyEdge, leafHashesOf(tree, 0, size), nativeSha256)
const tileOf = (level: number, index: number): FullTile =>
  fullTiles.find((tile) => tile.level === level && tile.index === index) as FullTile

const recordBytes = 8_192 + 992 + 4

/** A tree that is as it should be. */
const whole: TileSource = {
  readTile: async (level, index) => tileOf(level, index).hashes,
  prove: async (index) => ({
    leafHash: tree.root(index, index + 1),
    hashes: planInclusionProof(index, asTreeSize(size)).map(({ lo, hi }) => tree.root(lo, hi)),
  }),
}

let parent: string
let folder: string
let files: TileFiles
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-tiles-'))
  folder = join(parent, 'tiles')
  files = await TileFiles.open(folder, origin)
})
afterEach(async () => {
  await files.close()
  await rm(parent, { recursive: true })
})

async function reopen(slowMs?: number, name = origin): Promise<void> {
  await files.close()
  files = await TileFiles.open(folder, name, slowMs)
}

async function fileAll(source = whole, upTo = size): Promise<Step> {
  const filer = tileFiler(files, source, nativeSha256)
  for (;;) {
    const step = await filer.step(upTo)
    if (!step.hasWorked) return step
  }
}

async function flip(level: number, position: number): Promise<void> {
  const file = await open(join(folder, String(level)), 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, position)
  await file.write(Buffer.of((byte[0] as number) ^ 1), 0, 1, position)
  await file.close()
}

describe('files of tiles', () => {
  test('have every full tile of the published tree, and its parts', async () => {
    expect(await fileAll()).toEqual({ position: size, hasWorked: false })
    expect([files.count(0), files.count(1), files.count(2)]).toEqual([273, 1, 0])
    for (const { level, index, hashes } of fullTiles) {
      expect(await files.readTile({ level, index })).toEqual(Buffer.from(hashes))
      const part = await files.readPart({ level, index }, index % 16)
      for (const [from, to] of [
        [0, 256],
        [128, 192],
        [16 * (index % 16), 16 * (index % 16) + 1],
        [16 * (index % 16) + 8, 16 * (index % 16) + 16],
      ] as const) {
        const got = rootInPart(part as TilePart, from, to, nativeSha256)
        expect(formatHex(got)).toBe(formatHex(rootOfSlots(hashes, from, to, nativeSha256)))
      }
    }
  })

  test('say nothing of tiles that are not there', async () => {
    await fileAll(whole, 600)
    expect(await files.readTile({ level: 0, index: 1 })).toBeDefined()
    expect(await files.readTile({ level: 0, index: 2 })).toBeUndefined()
    expect(await files.readPart({ level: 0, index: 2 }, 0)).toBeUndefined()
    expect(await files.readTile({ level: 1, index: 0 })).toBeUndefined()
    expect(files.damaged).toEqual([])
  })

  test('are for their owner only', async () => {
    await fileAll(whole, 600)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect((await stat(join(folder, '0'))).mode & 0o777).toBe(0o600)
  })

  test('go on where they were when they are opened again, whatever a crash left at their end', async () => {
    await fileAll(whole, 1_300)
    await truncate(join(folder, '0'), 3 * recordBytes + 100)
    await reopen()
    expect(files.count(0)).toBe(3)
    await appendFile(join(folder, '0'), Buffer.alloc(2 * recordBytes))
    await reopen()
    expect(files.count(0)).toBe(5)
    expect(await files.readTile({ level: 0, index: 2 })).toBeDefined()
    // What is half old and half zeros was never written so.
    expect(await files.readTile({ level: 0, index: 3 })).toBeUndefined()
    expect(await files.readTile({ level: 0, index: 4 })).toBeUndefined()
    await fileAll(whole, 1_300)
    expect(await files.readTile({ level: 0, index: 4 })).toEqual(Buffer.from(tileOf(0, 4).hashes))
  })

  test.each([0, 8_191, 8_192, 9_183, 9_184, 9_187])(
    'do not give out what has another bit at byte %i, and are mended',
    async (at) => {
      await fileAll(whole, 1_300)
      const before = await readFile(join(folder, '0'))
      await flip(0, 3 * recordBytes + at)
      expect(await files.readTile({ level: 0, index: 3 })).toBeUndefined()
      expect(await files.readPart({ level: 0, index: 3 }, 0)).toBeUndefined()
      expect(files.damaged).toEqual([{ level: 0, index: 3 }])
      expect(await files.readTile({ level: 0, index: 2 })).toBeDefined()
      await fileAll(whole, 1_300)
      expect(files.damaged).toEqual([])
      expect(await files.readTile({ level: 0, index: 3 })).toEqual(Buffer.from(tileOf(0, 3).hashes))
      expect(await readFile(join(folder, '0'))).toEqual(before)
    },
  )

  test('do not give out the tile of another place or another log', async () => {
    await fileAll(whole, 1_300)
    const file = await open(join(folder, '0'), 'r+')
    const record = Buffer.alloc(recordBytes)
    await file.read(record, 0, recordBytes, 0)
    await file.write(record, 0, recordBytes, recordBytes)
    await file.close()
    expect(await files.readTile({ level: 0, index: 1 })).toBeUndefined()
    await reopen(undefined, 'localhost/another')
    expect(await files.readTile({ level: 0, index: 0 })).toBeUndefined()
  })

  test('are read in other threads while the disk is slow', async () => {
    await fileAll(whole, 1_300)
    // Every read counts as slow: after five of them none is made at once.
    await reopen(-1)
    for (let i = 0; i < 5; i++) expect(files.readTile({ level: 0, index: 0 })).not.toBeInstanceOf(Promise)
    const reading = [0, 1, 2].map((index) => files.readTile({ level: 0, index }))
    expect(reading.every((each) => each instanceof Promise)).toBe(true)
    expect(await Promise.all(reading)).toEqual([0, 1, 2].map((index) => Buffer.from(tileOf(0, index).hashes)))
    const parts = [1, 2].map((index) => files.readPart({ level: 0, index }, 5))
    expect((await Promise.all(parts)).map((part) => part && Buffer.from(part.slots))).toEqual(
      [1, 2].map((index) => Buffer.from(tileOf(0, index).hashes.subarray(5 * 512, 6 * 512))),
    )
    await flip(0, 2 * recordBytes)
    expect(await files.readTile({ level: 0, index: 2 })).toBeUndefined()
  })
})

describe('what is filed', () => {
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
    const other = Uint8Array.from(bytes)
    other[at] = (other[at] as number) ^ 1
    return other
  }

  test.each([
    [0, 0],
    [0, 31],
    [0, 32],
    [0, 4_000],
    [0, 8_191],
    [1, 0],
    [1, 100],
    [1, 8_191],
  ])('is no tile of level %i that has another bit at byte %i', async (level, at) => {
    const wrong: TileSource = {
      ...whole,
      readTile: async (l, i) => (l === level && i === 0 ? flipped(tileOf(l, i).hashes, at) : tileOf(l, i).hashes),
    }
    await expect(fileAll(wrong)).rejects.toMatchObject({ code: 'root-mismatch' })
    expect(files.count(level)).toBe(0)
  })

  test('is nothing where proofs do not hold, or a tile is short', async () => {
    const unproved: TileSource = { ...whole, prove: () => Promise.reject(new Error('no proof')) }
    await expect(fileAll(unproved)).rejects.toThrow('no proof')
    const short: TileSource = { ...whole, readTile: async (l, i) => tileOf(l, i).hashes.subarray(0, 8_160) }
    await expect(fileAll(short)).rejects.toMatchObject({ code: 'malformed-tile' })
    expect(files.count(0)).toBe(0)
  })
})
