import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import type { TreeSize } from '../../tlog/coords.ts'
import { decodeEntryBundle, tileOfEntryBundle } from '../../tlog/entry-bundle.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { formatBundlePath, formatTilePath, tilesOfSize } from '../../tlog/tile.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'

/** Three bundles; the last one partial. */
const entries = 521
let api: TestApi

beforeAll(async () => {
  api = await openTestApi()
  await post(300)
  await post(entries - 300)
})
afterAll(() => api.close())

/** Appends and waits for the checkpoint: these sizes are published. */
async function post(count: number): Promise<void> {
  const records = Array.from({ length: count }, (_, n) => submissionWith({ payload: { n } }))
  await api.post(records, {}, '?wait=published')
}

function get(path: string, headers: Record<string, string> = {}): Promise<Response> | Response {
  return api.app.request(`/${path}`, { headers: { authorization: `Bearer ${api.tokens.auditor}`, ...headers } })
}

async function bytesOf(path: string): Promise<Uint8Array> {
  const response = await get(path)
  expect({ path, status: response.status }).toEqual({ path, status: 200 })
  expect(response.headers.get('content-type')).toBe('application/octet-stream')
  return new Uint8Array(await response.arrayBuffer())
}

async function publishedSize(): Promise<{ size: TreeSize; root: Uint8Array }> {
  const note = await api.app.request('/checkpoint')
  const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
  return openCheckpoint(new Uint8Array(await note.arrayBuffer()), verifier.name, [verifier]).checkpoint
}

test('checkpoint, tiles and bundles are one tree, for somebody who reads nothing else', async () => {
  const { size, root } = await publishedSize()
  expect(size).toBe(entries)
  const leafTiles: Uint8Array[] = []
  for (const coord of tilesOfSize(size)) {
    const tile = await bytesOf(formatTilePath(coord))
    expect(tile).toHaveLength(32 * coord.width)
    if (coord.level > 0) continue
    leafTiles.push(tile)
    expect(tileOfEntryBundle(await bytesOf(formatBundlePath(coord)), coord.width)).toEqual(tile)
  }
  const { root: computed, fullTiles } = appendLeafHashes(emptyEdge, Buffer.concat(leafTiles))
  expect(computed).toEqual(root)
  for (const { level, index, hashes } of fullTiles) {
    expect(await bytesOf(formatTilePath({ level, index, width: 256 }))).toEqual(hashes)
  }
})

test('every narrower tile and bundle is the beginning of the wider one', async () => {
  const tile = await bytesOf('tile/0/001')
  const bundle = await bytesOf('tile/entries/001')
  for (const width of [1, 44, 255]) {
    expect(await bytesOf(`tile/0/001.p/${width}`)).toEqual(tile.subarray(0, 32 * width))
    const narrow = await bytesOf(`tile/entries/001.p/${width}`)
    expect(decodeEntryBundle(narrow, width)).toHaveLength(width)
    expect(bundle.subarray(0, narrow.length)).toEqual(narrow)
  }
})

test('what does not change may be kept for good, by caches that do not know who asked only where it is public', async () => {
  for (const path of ['tile/0/000', 'tile/0/002.p/9', 'tile/1/000.p/2']) {
    const { headers } = await get(path)
    expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(headers.get('access-control-allow-origin')).toBe('*')
  }
  const { headers } = await get('tile/entries/000')
  expect(headers.get('cache-control')).toBe('private, max-age=31536000, immutable')
  expect(headers.get('vary')).toBe('Accept-Encoding, Authorization')
})

test.each([
  ...['tile/0/002', 'tile/0/002.p/10', 'tile/0/003.p/1', 'tile/0/003', 'tile/1/000', 'tile/1/000.p/3'],
  ...['tile/1/001.p/1', 'tile/2/000.p/1', 'tile/63/000', 'tile/0/x009/x007/x199/x254/x740/991'],
  ...['tile/entries/002', 'tile/entries/002.p/10', 'tile/entries/x001/000', 'tile/', 'tile', 'tile/entries'],
])('%s, which the published tree does not have, is 404 and not kept', async (path) => {
  const { status, headers } = await get(path)
  expect(status).toBe(404)
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(headers.get('cache-control')).toBe('no-store')
})

const { invalid } = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'vectors', 'tiles', 'paths.json'), 'utf8'),
) as { invalid: string[] }

test.each([
  ...invalid,
  ...['tile/0/000/', 'tile//0/000', 'tile/0/000?x=1', 'tile/0/%30%30%30%30', 'tile/0%2F000', 'tile/0/000.p/256'],
  ...['tile/0/../0/000.p/0', 'tile/0/000%00', 'tile/0/%zz', 'tile/0/000.P/1', 'TILE/0/000', 'tile/entries/000.p/-1'],
])('%s is no name of a tile', async (path) => {
  const { status } = await get(path)
  expect([400, 404]).toContain(status)
})

test('a bundle is packed for who can unpack it', async () => {
  const plain = await bytesOf('tile/entries/000')
  const packed = await get('tile/entries/000', { 'accept-encoding': 'gzip, identity' })
  expect(packed.headers.get('content-encoding')).toBe('gzip')
  expect(new Uint8Array(gunzipSync(new Uint8Array(await packed.arrayBuffer())))).toEqual(plain)
  for (const refusal of ['identity', 'gzip;q=0', 'br', 'gzip; q=0.000, *;q=0']) {
    const { headers } = await get('tile/entries/000', { 'accept-encoding': refusal })
    expect(headers.get('content-encoding')).toBeNull()
  }
})

test('tiles are for everybody, bundles for auditors, and for everybody where that is set', async () => {
  const request = (path: string, token?: string): Promise<Response> | Response =>
    api.app.request(path, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })
  expect((await request('/tile/0/000')).status).toBe(200)
  expect((await request('/tile/entries/000')).status).toBe(401)
  expect((await request('/tile/entries/000', api.tokens.writer)).status).toBe(403)
  const open = await openTestApi({ server: { publicEntries: true } })
  try {
    await open.post(submissionWith())
    const { status, headers } = await open.app.request('/tile/entries/000.p/1')
    expect([status, headers.get('cache-control')]).toEqual([200, 'public, max-age=31536000, immutable'])
  } finally {
    await open.close()
  }
})

test('HEAD has the headers, POST is no method', async () => {
  const head = await api.app.request('/tile/0/000', { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  const post = await api.app.request('/tile/0/000', { method: 'POST' })
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
})
