import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder, removeFolder } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

// The real binary and its files of tiles: whatever becomes of them, what is served is the tree.

const recordBytes = 9_188
let folder: string
let dataDir: string
let server: ServerProcess
let want: Buffer[]
beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  const event = { actorId: 'a', action: 'tile.fill', resource: 'r', payload: {} }
  const response = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: Array.from({ length: 1_100 }, () => JSON.stringify(event)).join('\n'),
  })
  expect(response.status).toBe(200)
  await untilFiled(4)
  want = await readTiles()
})
afterAll(async () => {
  await server?.stop()
  await removeFolder(folder)
})

async function untilFiled(count: number): Promise<void> {
  const size = async (): Promise<number> =>
    stat(join(dataDir, 'tiles', '0')).then(
      (found) => found.size,
      () => 0,
    )
  let found = 0
  await until(
    async () => {
      found = await size()
      return found === count * recordBytes
    },
    () => `${found} bytes`,
  )
}

async function readTiles(): Promise<Buffer[]> {
  const paths = ['0/000', '0/001', '0/002', '0/003', '0/004.p/76', '1/000.p/4']
  const responses = await Promise.all(paths.map((path) => fetch(`${server.url}/tile/${path}`)))
  return Promise.all(responses.map(async (response) => Buffer.from(await response.arrayBuffer())))
}

test('what is served from them is what the database has', async () => {
  expect(want.map(({ length }) => length)).toEqual([8_192, 8_192, 8_192, 8_192, 76 * 32, 128])
  await server.stop()
  server = await startServer(dataDir, { DENDROLOG_TILE_FILES: 'false' })
  expect(await readTiles()).toEqual(want)
})

test('one that was damaged is not served, and is mended when the log grows', async () => {
  const path = join(dataDir, 'tiles', '0')
  const before = await readFile(path)
  await server.stop()
  const file = await open(path, 'r+')
  await file.write(Buffer.alloc(64, 7), 0, 64, 2 * recordBytes + 128)
  await file.close()
  server = await startServer(dataDir)
  expect(await readTiles()).toEqual(want)
  const [first] = (await Promise.all(
    [600, 1_023].map(async (index) =>
      (await fetch(`${server.url}/v1/proofs/inclusion?index=${index}&size=1100`)).json(),
    ),
  )) as { leafIndex: number }[]
  expect(first?.leafIndex).toBe(600)
  const response = await fetch(`${server.url}/v1/entries`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ actorId: 'a', action: 'tile.mend', resource: 'r', payload: {} }),
  })
  expect(response.status).toBe(201)
  let after = Buffer.alloc(0)
  await until(
    async () => {
      after = await readFile(path)
      return after.equals(before)
    },
    () => `${after.length} bytes`,
  )
})

test('where they are gone they are made again; where they cannot be, tiles come from the database', async () => {
  await server.stop()
  await rm(join(dataDir, 'tiles'), { recursive: true })
  server = await startServer(dataDir)
  await untilFiled(4)
  expect(await readTiles()).toEqual(want)
  await server.stop()
  await rm(join(dataDir, 'tiles'), { recursive: true })
  await writeFile(join(dataDir, 'tiles'), 'no folder')
  server = await startServer(dataDir)
  expect(server.output()).toContain('files of tiles cannot be used')
  expect(await readTiles()).toEqual(want)
})
