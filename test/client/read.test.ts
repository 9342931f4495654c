import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type CheckedTree, openTree } from '../../src/client/checked-tree.ts'
import { CouldNotCheck, Violation } from '../../src/client/errors.ts'
import { type LogClient, type LogClientOptions, openLogClient } from '../../src/client/log-client.ts'
import { readEntry } from '../../src/client/read-entry.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8, formatHex } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import { leafHash } from '../../tlog/hash.ts'
import type { LogReader } from '../../tlog/log-reader.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { checkInclusion } from '../../tlog/verify.ts'
import { newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { type HostileServer, openHostileServer, type React, withJson } from './hostile-server.ts'
import { leavesOf, MemoryLog, makeKey } from './memory-log.ts'

const opened: HostileServer[] = []
const retry = { attemptsMax: 2, pauseMs: 1, pauseMsMax: 100 }
const key = makeKey('memory.example/log')

afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})

async function hostile(react: React, behind = ''): Promise<HostileServer> {
  const server = await openHostileServer(behind, react)
  opened.push(server)
  return server
}

describe('readEntry', () => {
  const id = newId()
  let api: TestApi
  let url: string

  beforeAll(async () => {
    api = await openTestApi()
    url = `http://127.0.0.1:${(await api.listen()).port}`
    await api.post(Array.from({ length: 299 }, (_, n) => submissionWith({ payload: { n } })))
    await api.post(
      submissionWith({ id, payload: { special: ['ü', 1.5] }, occurredAt: '2026-01-02T03:04:05Z', lamport: 3 }),
    )
  })
  afterAll(() => api.close())

  function clientOf(target: string, options: Partial<LogClientOptions> = {}): LogClient {
    return openLogClient({ url: target, vkey: api.test.keys.vkey, token: api.tokens.auditor, retry, ...options })
  }

  test('proves an entry by number and by id, and makes a receipt of it that holds alone', async () => {
    const byNumber = await readEntry(clientOf(url), 300)
    const byId = await readEntry(clientOf(url), id.toUpperCase())
    expect(byId).toEqual(byNumber)
    expect(byId.payload).toEqual({ special: ['ü', 1.5] })
    const verifier = textVerifier(parseVkey(api.test.keys.vkey), nodeSignatureCheck)
    expect(checkReceipt(parseReceipt(encodeUtf8(byId.receipt)), verifier)).toEqual(byId.proved)
    for (const n of [1, 256, 257]) expect((await readEntry(clientOf(url), n)).proved.fields.sequenceNumber).toBe(n)
  })

  test('asks for the tree without the token, which is for entries', async () => {
    const { asked, url: watched } = await hostile((_, forward) => forward(), url)
    await readEntry(clientOf(watched), 7)
    const withToken = asked.filter(({ headers }) => headers.authorization !== undefined).map(({ path }) => path)
    expect(withToken).toEqual(['/v1/entries/7'])
    expect(asked.length).toBeGreaterThan(2)
  })

  test('is refused where there is no such entry, or no right to read it', async () => {
    await expect(readEntry(clientOf(url), 301)).rejects.toMatchObject({ name: 'Refused', status: 404 })
    await expect(readEntry(clientOf(url), newId())).rejects.toMatchObject({ name: 'Refused', status: 404 })
    const writer = clientOf(url, { token: api.tokens.writer })
    await expect(readEntry(writer, 1)).rejects.toMatchObject({ name: 'Refused', status: 403 })
  })

  /** Changes the answer to the entry and nothing else. */
  function lying(change: (entry: Record<string, unknown>) => unknown): Promise<HostileServer> {
    return hostile(async ({ path }, forward) => {
      const said = await forward()
      return path.startsWith('/v1/entries/') ? withJson(said, change) : said
    }, url)
  }

  test.each<[string, string, (entry: Record<string, unknown>) => unknown]>([
    ['leaf-mismatch', 'a payload that is not the entry’s', (entry) => ({ ...entry, payload: { special: [] } })],
    ['leaf-mismatch', 'a member that nothing covers', (entry) => ({ ...entry, verified: true })],
    ['leaf-mismatch', 'a time in another spelling', (entry) => ({ ...entry, occurredAt: '2026-01-02T03:04:05Z' })],
    ['chain-mismatch', 'another predecessor', (entry) => ({ ...entry, previousHash: 'ab'.repeat(32) })],
    ['other-event', 'an entry of another id', (entry) => ({ ...entry, id: newId() })],
  ])('finds by %s: %s', async (code, _, change) => {
    const { url } = await lying(change)
    const error = await readEntry(clientOf(url), id).catch((error) => error)
    expect(error).toBeInstanceOf(Violation)
    expect(error.code).toBe(code)
  })

  test('finds a forgery that is consistent in itself: it is not in the tree', async () => {
    const { proved } = await readEntry(clientOf(url), id)
    const { url: forging } = await lying((entry) => {
      const leaf = encodeLeaf({ ...proved.fields, clientIp: '192.0.2.66' })
      return { ...entry, clientIp: '192.0.2.66', leafHash: formatHex(leafHash(leaf)) }
    })
    const error = await readEntry(clientOf(forging), id).catch((error) => error)
    expect(error).toBeInstanceOf(Violation)
    expect(error.code).toBe('inclusion-mismatch')
  })

  test.each<[string, (entry: Record<string, unknown>) => unknown]>([
    ['no object', () => [1]],
    ['null', () => null],
    ['a place that is none', (entry) => ({ ...entry, sequenceNumber: 0 })],
    ['no actor', ({ actorId: _, ...entry }) => entry],
    ['an actor that is too long', (entry) => ({ ...entry, actorId: 'x'.repeat(2_000) })],
    ['a hash that is none', (entry) => ({ ...entry, currentHash: 'AB' })],
  ])('cannot check %s', async (_, change) => {
    const { url } = await lying(change)
    await expect(readEntry(clientOf(url), id)).rejects.toThrow(CouldNotCheck)
  })

  test('cannot check by a checkpoint that is older than the entry', async () => {
    const old = await hostile(({ path }, forward) => {
      return path === '/checkpoint' ? { status: 200, body: checkpointOfOne } : forward()
    }, url)
    const { log } = api
    const rows = await api.sql(
      'select note from security.checkpoints where tree_size < 300 order by number desc limit 1',
    )
    const checkpointOfOne = rows[0]?.note as string
    expect(log.published.treeSize).toBe(300)
    await expect(readEntry(clientOf(old.url), 300)).rejects.toMatchObject({ name: 'CouldNotCheck', code: 'behind' })
  })
})

/** A reader right on a log, without HTTP. */
function readerOf(
  log: MemoryLog,
  change: (bytes: Uint8Array, name: string) => Uint8Array = (bytes) => bytes,
): LogReader {
  return {
    readCheckpoint: async () => encodeUtf8(log.note()),
    readTile: async (level, index, width) => change(log.tile(level, index, width), `${level}/${index}`),
    readEntryBundle: async (index, width) => change(log.bundle(index, width), `entries/${index}`),
  }
}

function treeOf(log: MemoryLog, change?: (bytes: Uint8Array, name: string) => Uint8Array): Promise<CheckedTree> {
  const checkpoint = { origin: key.origin, size: log.size, root: log.root() }
  return openTree(readerOf(log, change), checkpoint)
}

describe('a tree', () => {
  const sizes = [...Array(20).keys(), 255, 256, 257, 511, 512, 513, 1_000]

  test.each(sizes)('of %i leaves proves every leaf and knows its older roots', async (size) => {
    const log = new MemoryLog(key, leavesOf(size))
    const tree = await treeOf(log)
    for (let index = 0; index < size; index += size > 300 ? 37 : 1) {
      const proof = await tree.proveInclusion(index)
      const hash = leafHash(log.leaves[index] as Uint8Array)
      expect(() => checkInclusion(asLeafIndex(index), log.size, hash, proof, log.root())).not.toThrow()
    }
    for (let old = 0; old <= size; old += old < 20 ? 1 : 7)
      expect(await tree.rootAt(asTreeSize(old))).toEqual(log.root(old))
  })

  test('of three levels takes no tile that was altered, wherever it is', async () => {
    const log = new MemoryLog(key, leavesOf(66_000))
    const walk = async (tree: CheckedTree): Promise<void> => {
      for (const size of [1, 255, 300, 65_535, 65_536, 65_900]) await tree.rootAt(asTreeSize(size))
      for (const bundle of [0, 17, 255, 256, 257]) await tree.readLeaves(bundle)
    }
    const read = new Set<string>()
    await walk(
      await treeOf(log, (bytes, name) => {
        read.add(name)
        return bytes
      }),
    )
    expect([...read]).toContain('2/0')
    expect(read.size).toBeGreaterThan(10)
    for (const name of read) {
      const altered = (bytes: Uint8Array, which: string): Uint8Array => {
        const copy = bytes.slice()
        if (which === name) copy[copy.length - 1] = (copy.at(-1) as number) ^ 1
        return copy
      }
      const error = await (async () => walk(await treeOf(log, altered)))().catch((error) => error)
      expect(error, name).toBeInstanceOf(CouldNotCheck)
      expect(error.code, name).toBe('tile-mismatch')
    }
  })

  test('has no tiles beyond its size', async () => {
    const tree = await treeOf(new MemoryLog(key, leavesOf(300)))
    await expect(tree.readTile(0, 1, 45)).rejects.toMatchObject({ code: 'out-of-range' })
    await expect(tree.readTile(0, 2, 1)).rejects.toMatchObject({ code: 'out-of-range' })
    await expect(tree.readTile(2, 0, 1)).rejects.toMatchObject({ code: 'out-of-range' })
    expect(await tree.readTile(1, 0, 1)).toHaveLength(32)
  })
})

describe('a client of a log', () => {
  const log = new MemoryLog(key, leavesOf(600))
  const clientOf = (url: string, options: Partial<LogClientOptions> = {}): LogClient =>
    openLogClient({ url, vkey: key.vkey, retry, ...options })

  test('reads the full tile where a partial one is gone', async () => {
    const { asked, url } = await hostile(({ path }) => log.answer(path, log.size, true))
    const client = clientOf(url)
    expect(await client.readTile(0, 1, 5)).toEqual(log.tile(0, 1, 5))
    expect(await client.readEntryBundle(1, 5)).toEqual(log.bundle(1, 5))
    const names = ['/tile/0/001.p/5', '/tile/0/001', '/tile/entries/001.p/5', '/tile/entries/001']
    expect(asked.map(({ path }) => path)).toEqual(names)
    await expect(client.readTile(0, 9, 5)).rejects.toMatchObject({ name: 'Refused', status: 404 })
  })

  test('below a path asks below that path', async () => {
    const { asked, url } = await hostile(({ path }) => log.answer(path.replace('/logs/one', '')))
    const { checkpoint } = await clientOf(`${url}/logs/one`).readSignedCheckpoint()
    expect(checkpoint.size).toBe(600)
    expect(asked.map(({ path }) => path)).toEqual(['/logs/one/checkpoint'])
  })

  test.each<[string, (client: LogClient) => Promise<unknown>]>([
    ['checkpoint', (client) => client.readCheckpoint()],
    ['tile', (client) => client.readTile(0, 0, 256)],
    ['bundle', (client) => client.readEntryBundle(0, 1)],
  ])('takes no endless %s', async (_, read) => {
    const { url } = await hostile(() => 'endless')
    await expect(read(clientOf(url))).rejects.toMatchObject({ name: 'CouldNotCheck', code: 'answer-too-large' })
  })

  test.each([0, 31, 8_191, 8_193])('takes no tile of %i bytes', async (bytes) => {
    const { url } = await hostile(() => ({ status: 200, body: new Uint8Array(bytes) }))
    await expect(clientOf(url).readTile(0, 0, 256)).rejects.toMatchObject({
      name: 'CouldNotCheck',
      code: 'malformed-tile',
    })
  })

  test('tries what is the weather again, and no longer than it may', async () => {
    let tries = 0
    const flaky = await hostile(({ path }) => (tries++ === 0 ? 'cut' : log.answer(path)))
    expect((await clientOf(flaky.url).readSignedCheckpoint()).checkpoint.root).toEqual(log.root())
    const gone = await hostile(() => ({ status: 502, body: '' }))
    await expect(clientOf(gone.url).readCheckpoint()).rejects.toMatchObject({ name: 'Unavailable', attempts: 2 })
  })

  test.each<[string, string, string]>([
    ['CouldNotCheck', 'unverified-note', makeKey('memory.example/log').sign(bodyOf(log))],
    ['CouldNotCheck', 'malformed-note', '<html>'],
    ['Violation', 'invalid-signature', log.note().replace('\n600\n', '\n601\n')],
    ['Violation', 'origin-mismatch', key.sign(bodyOf(log).replace('memory', 'other'))],
    ['CouldNotCheck', 'malformed-checkpoint', key.sign('memory.example/log\nmany\n')],
  ])('tells by %s %s a checkpoint that is not the log’s', async (name, code, note) => {
    const { url } = await hostile(() => ({ status: 200, body: note }))
    await expect(clientOf(url).readSignedCheckpoint()).rejects.toMatchObject({ name, code })
  })

  test('of a key that signs something else, or of no URL, is not opened', () => {
    expect(() => clientOf('http://127.0.0.1', { vkey: 'x' })).toThrow('vkey')
    expect(() => clientOf('ftp://127.0.0.1')).toThrow(TypeError)
    expect(() => clientOf('127.0.0.1')).toThrow(TypeError)
    const spki = Buffer.concat([
      Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
      Buffer.from([4]),
      createHash('sha512').update('no point').digest(),
    ])
    const id = createHash('sha256').update(spki).digest('hex').slice(0, 8)
    const vkey = `memory.example/log+${id}+${Buffer.concat([Buffer.from([2]), spki]).toString('base64')}`
    expect(() => clientOf('http://127.0.0.1', { vkey })).toThrow('want 1')
  })
})

/** The signed text of a log's checkpoint. */
function bodyOf(log: MemoryLog): string {
  return `${log.note().split('\n\n')[0]}\n`
}
