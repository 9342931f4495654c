import { createPublicKey, verify } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeUtf8, formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { asHash, leafHash } from '../../tlog/hash.ts'
import { encodeTreeHead } from '../../tlog/sth.ts'
import { appendLeafHashes, emptyEdge } from '../../tlog/tree-edge.ts'
import { checkConsistency, checkInclusion } from '../../tlog/verify.ts'
import { type Answer, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { recordsOf, submit, until } from '../support/log.ts'

const entries = 1_203
let api: TestApi
let leaves: Uint8Array[]

beforeAll(async () => {
  api = await openTestApi()
  const records = Array.from({ length: entries }, (_, n) => submissionWith({ payload: { n, '10': 'x', '9': [n] } }))
  await api.post(records, {}, '?wait=published')
  leaves = await readAll()
  await until(
    () => api.server.search.position() === entries,
    () => `searched up to ${api.server.search.position()}`,
  )
})
afterAll(() => api.close())

type EntryJson = { readonly leaf_input: string; readonly extra_data: string }

function ct(path: string): Promise<Answer> {
  return api.get(`/ct/v1/${path}`, 'auditor')
}

/** As clients do: the server may give fewer than were asked for. */
async function readAll(): Promise<Uint8Array[]> {
  const read: Uint8Array[] = []
  while (read.length < entries) {
    const { json } = await ct(`get-entries?start=${read.length}&end=${entries + 5_000}`)
    const got = json.entries as EntryJson[]
    expect(got.length).toBeGreaterThan(0)
    read.push(...got.map(({ leaf_input }) => parseBase64(leaf_input)))
  }
  return read
}

function rootAt(size: number): Uint8Array {
  const hashes = leaves.slice(0, size).map((leaf) => leafHash(leaf))
  return appendLeafHashes(emptyEdge, Buffer.concat(hashes)).root
}

function hashesOf(value: unknown): Uint8Array[] {
  return (value as string[]).map(parseBase64)
}

test('the signed tree head is of all entries, and holds under the log’s key', async () => {
  // Go's client appends the question mark.
  const { status, headers, json } = await api.get('/ct/v1/get-sth?')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toMatch(/^application\/json/)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(Object.keys(json).sort()).toEqual(['sha256_root_hash', 'timestamp', 'tree_head_signature', 'tree_size'])
  const root = asHash(parseBase64(json.sha256_root_hash as string))
  expect(root).toEqual(rootAt(entries))
  const signed = parseBase64(json.tree_head_signature as string)
  expect([...signed.subarray(0, 2), signed.length]).toEqual([
    4,
    3,
    4 + (signed[2] as number) * 256 + (signed[3] as number),
  ])
  const head = encodeTreeHead({ size: asTreeSize(entries), timestampMs: json.timestamp as number, root })
  const key = createPublicKey({
    key: Buffer.from(api.server.identity.sthPublicKey, 'base64'),
    format: 'der',
    type: 'spki',
  })
  expect(verify('sha256', head, key, signed.subarray(4))).toBe(true)
})

test('entries are leaves and payloads, from the start on, in ranges that end on thousands', async () => {
  const { json } = await ct('get-entries?start=3&end=1150')
  const got = json.entries as EntryJson[]
  expect(got).toHaveLength(997)
  got.forEach(({ leaf_input, extra_data }, i) => {
    expect(parseBase64(leaf_input)).toEqual(leaves[3 + i])
    expect(decodeUtf8(parseBase64(extra_data))).toBe(`{"10":"x","9":[${3 + i}],"n":${3 + i}}`)
  })
  for (const [start, end, want] of [
    [0, 0, 1],
    [1_000, 5_000, 203],
    [entries - 1, entries - 1, 1],
    [entries - 1, 9_007_199_254_740_991, 1],
  ]) {
    expect((await ct(`get-entries?start=${start}&end=${end}`)).json.entries).toHaveLength(want as number)
  }
})

test('a range that the end of the tree cuts short is kept for a minute only, since it grows', async () => {
  for (const [start, end, want] of [
    [0, 9, 86_400],
    [0, entries - 1, 86_400],
    [0, entries + 5_000, 86_400],
    [0, '9223372036854775807', 86_400],
    [0, '18446744073709551615', 86_400],
    [1_100, entries, 60],
    [1_100, entries + 5_000, 60],
  ]) {
    const { headers } = await ct(`get-entries?start=${start}&end=${end}`)
    expect(headers.get('cache-control')).toBe(`private, max-age=${want}`)
  }
})

test('of large payloads fewer are given at once, one at least', async () => {
  const large = await openTestApi()
  try {
    const payload = { text: 'y'.repeat(1_000_000) }
    await large.post(Array(6).fill(submissionWith({ payload })), {}, '?wait=published')
    const { json } = await large.get('/ct/v1/get-entries?start=0&end=5', 'auditor')
    expect(json.entries).toHaveLength(4)
    expect((await large.get('/ct/v1/get-entries?start=4&end=5', 'auditor')).json.entries).toHaveLength(2)
  } finally {
    await large.close()
  }
})

test.each([
  [1, 2],
  [5, 300],
  [256, 1_024],
  [1_000, entries],
])('consistency from %i to %i holds', async (first, second) => {
  const { json } = await api.get(`/ct/v1/get-sth-consistency?first=${first}&second=${second}`)
  const [from, to] = [asTreeSize(first), asTreeSize(second)]
  checkConsistency(from, to, asHash(rootAt(first)), asHash(rootAt(second)), hashesOf(json.consistency))
})

test.each([
  [0, 0],
  [0, 300],
  [300, 300],
])('from %i to %i is an empty list', async (first, second) => {
  const { json } = await api.get(`/ct/v1/get-sth-consistency?first=${first}&second=${second}`)
  expect(json).toEqual({ consistency: [] })
})

test.each([
  [0, 1],
  [0, entries],
  [255, 256],
  [299, 300],
  [entries - 1, entries],
])('entry %i comes with its path in the tree of %i', async (index, size) => {
  const { json } = await ct(`get-entry-and-proof?leaf_index=${index}&tree_size=${size}`)
  expect(Object.keys(json).sort()).toEqual(['audit_path', 'extra_data', 'leaf_input'])
  const hash = leafHash(parseBase64(json.leaf_input as string))
  const [place, of] = [asLeafIndex(index), asTreeSize(size)]
  checkInclusion(place, of, hash, hashesOf(json.audit_path), asHash(rootAt(size)))
})

test.each([
  ['get-sth-consistency', 'first'],
  ['get-sth-consistency?first=1', 'second'],
  ['get-sth-consistency?first=-1&second=2', 'first'],
  ['get-sth-consistency?first=2&second=1', 'first'],
  [`get-sth-consistency?first=1&second=${entries + 1}`, 'second'],
  ['get-sth-consistency?first=1e0&second=2', 'first'],
  ['get-sth-consistency?first=0x1&second=2', 'first'],
  ['get-sth-consistency?first=1&first=1&second=2', 'first'],
  ['get-sth-consistency?first=1.0&second=2', 'first'],
  ['get-sth-consistency?first=&second=2', 'first'],
  ['get-sth-consistency?first=1&second=18446744073709551616', 'second'],
  ['get-sth-consistency?first=18446744073709551615&second=1', 'first'],
  ['get-entries?start=0&end=18446744073709551616', 'end'],
  ['get-entries?start=9223372036854775806&end=9223372036854775807', 'start'],
  ['get-entries', 'start'],
  ['get-entries?start=0', 'end'],
  ['get-entries?start=2&end=1', 'start'],
  ['get-entries?start=-1&end=1', 'start'],
  [`get-entries?start=${entries}&end=${entries}`, 'start'],
  ['get-entry-and-proof?leaf_index=0', 'tree_size'],
  ['get-entry-and-proof?leaf_index=0&tree_size=0', 'tree_size'],
  ['get-entry-and-proof?leaf_index=5&tree_size=5', 'leaf_index'],
  ['get-entry-and-proof?leaf_index=9223372036854775807&tree_size=5', 'leaf_index'],
  ['get-entry-and-proof?leaf_index=0&tree_size=9223372036854775807', 'tree_size'],
  [`get-entry-and-proof?leaf_index=0&tree_size=${entries + 1}`, 'tree_size'],
])('%s is 400 and names the parameter', async (path, parameter) => {
  const { status, json } = await ct(path)
  expect(status).toBe(400)
  expect(json).toMatchObject({ code: 'malformed-parameter', parameter })
})

test.each([0, 1, 255, 256, entries - 1])('leaf %i is found by its hash, and proved', async (index) => {
  const hash = leafHash(leaves[index] as Uint8Array)
  const query = encodeURIComponent(formatBase64(hash))
  for (const size of [index + 1, entries]) {
    const { json } = await api.get(`/ct/v1/get-proof-by-hash?hash=${query}&tree_size=${size}`)
    expect(Object.keys(json).sort()).toEqual(['audit_path', 'leaf_index'])
    expect(json.leaf_index).toBe(index)
    checkInclusion(asLeafIndex(index), asTreeSize(size), hash, hashesOf(json.audit_path), asHash(rootAt(size)))
  }
})

const someHash = encodeURIComponent(formatBase64(new Uint8Array(32).fill(7)))

test('a hash of no leaf is 404, and so are one that comes later and a tree that is larger', async () => {
  const last = encodeURIComponent(formatBase64(leafHash(leaves.at(-1) as Uint8Array)))
  for (const [hash, size] of [
    [someHash, entries],
    [last, entries - 1],
    [last, entries + 1],
    [last, '9007199254740992'],
    [last, '18446744073709551615'],
  ]) {
    const { status, json } = await api.get(`/ct/v1/get-proof-by-hash?hash=${hash}&tree_size=${size}`)
    expect({ hash, size, status, code: json.code }).toEqual({ hash, size, status: 404, code: 'not-found' })
  }
})

test('a leaf that the search tables do not have yet is found in the tiles', async () => {
  const young = await openTestApi({ search: { mustFill: () => false } })
  try {
    await submit(young.log, recordsOf(0, 300))
    const { treeSize } = await young.log.waitForCheckpoint(300)
    const tile = await young.log.tiles.readTile(0, 1, 44)
    const query = encodeURIComponent(formatBase64(tile.subarray(32 * 43)))
    const path = `/ct/v1/get-proof-by-hash?tree_size=${treeSize}&hash=`
    expect(await young.get(`${path}${query}`)).toMatchObject({ status: 200, json: { leaf_index: 299 } })
    expect(await young.get(`${path}${someHash}`)).toMatchObject({ status: 404, json: { code: 'not-found' } })
  } finally {
    await young.close()
  }
})

test.each([
  ['', 'hash'],
  ['tree_size=1', 'hash'],
  ['hash=&tree_size=1', 'hash'],
  ['hash=AAAA&tree_size=1', 'hash'],
  [`hash=${someHash.replaceAll('B', '-')}&tree_size=1`, 'hash'],
  [`hash=${'00'.repeat(32)}&tree_size=1`, 'hash'],
  [`hash=${someHash}`, 'tree_size'],
  [`hash=${someHash}&tree_size=0`, 'tree_size'],
  [`hash=${someHash}&tree_size=-1`, 'tree_size'],
  [`hash=${someHash}&tree_size=18446744073709551616`, 'tree_size'],
  [`hash=${someHash}&tree_size=01`, 'tree_size'],
])('get-proof-by-hash?%s is 400', async (query, parameter) => {
  const { status, json } = await api.get(`/ct/v1/get-proof-by-hash?${query}`)
  expect(status).toBe(400)
  expect(json).toMatchObject({ code: 'malformed-parameter', parameter })
})

test('members and parameters that nobody knows are ignored, as RFC 6962 wants it', async () => {
  expect((await api.get('/ct/v1/get-sth-consistency?first=1&second=2&third=3')).status).toBe(200)
})

test('there are no roots, since entries are not certificates', async () => {
  expect((await api.get('/ct/v1/get-roots')).json).toEqual({ certificates: [] })
})

test('heads and proofs are for everybody, entries for auditors', async () => {
  expect((await api.get('/ct/v1/get-sth')).status).toBe(200)
  for (const path of ['get-entries?start=0&end=0', 'get-entry-and-proof?leaf_index=0&tree_size=1']) {
    expect((await api.get(`/ct/v1/${path}`)).status).toBe(401)
    expect((await api.get(`/ct/v1/${path}`, 'writer')).status).toBe(403)
    expect((await ct(path)).headers.get('cache-control')).toBe('private, max-age=86400')
  }
})

test('a method that the RFC does not name is 405', async () => {
  const { status, headers } = await api.app.request('/ct/v1/get-sth', { method: 'POST' })
  expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
})
