import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type LogClient, openLogClient } from '../../src/client/log-client.ts'
import { type Check, checkOnce, type MonitorOptions, monitor } from '../../src/client/monitor.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { decodeLeaf } from '../../tlog/entry.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { type HostileServer, openHostileServer, type React, type Said } from './hostile-server.ts'
import { leavesOf, MemoryLog, makeKey } from './memory-log.ts'

const opened: HostileServer[] = []
const retry = { attemptsMax: 1, pauseMs: 1, pauseMsMax: 100 }
const key = makeKey('memory.example/log')

afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})

async function hostile(react: React): Promise<HostileServer> {
  const server = await openHostileServer('', react)
  opened.push(server)
  return server
}

/** A state in memory, with all that was saved. */
function stateOf(first?: string): MonitorOptions & { readonly saved: string[] } {
  const saved = first === undefined ? [] : [first]
  return {
    saved,
    load: async () => saved.at(-1),
    save: async (note) => {
      saved.push(note)
    },
  }
}

describe('on a real log', () => {
  let api: TestApi
  let client: LogClient

  beforeAll(async () => {
    api = await openTestApi()
    const url = `http://127.0.0.1:${(await api.listen()).port}`
    client = openLogClient({ url, vkey: api.test.keys.vkey, token: api.tokens.auditor, retry })
  })
  afterAll(() => api.close())

  async function append(count: number): Promise<void> {
    const records = Array.from({ length: count }, (_, n) => submissionWith({ payload: { n } }))
    await api.post(records, {}, '?wait=published')
  }

  test('a monitor follows it from its first checkpoint on, and sees each leaf once and in order', async () => {
    const leaves: Uint8Array[] = []
    const state = stateOf()
    const options: MonitorOptions = {
      ...state,
      takeLeaves: async (more, firstIndex) => {
        expect(firstIndex).toBe(leaves.length)
        leaves.push(...more)
      },
    }
    const sizes: number[] = []
    for (const count of [0, 3, 250, 0, 3, 1, 300]) {
      if (count > 0) await append(count)
      const check = await checkOnce(client, options)
      expect(['advanced', 'unchanged']).toContain(check.kind)
      sizes.push(check.kind === 'advanced' ? check.to.checkpoint.size : -1)
    }
    expect(sizes).toEqual([0, 3, 253, -1, 256, 257, 557])
    expect(leaves.map((leaf) => decodeLeaf(leaf).sequenceNumber)).toEqual(Array.from({ length: 557 }, (_, i) => i + 1))
    expect(state.saved).toHaveLength(6)
    expect(await state.load()).toContain('\n557\n')
  })

  test('the state stays where it was when its owner could not take the leaves', async () => {
    const state = stateOf()
    const failing = { ...state, takeLeaves: () => Promise.reject(new Error('the disk is full')) }
    await expect(checkOnce(client, failing)).rejects.toThrow('the disk is full')
    expect(state.saved).toEqual([])
  })

  test('it goes on until it is told to stop', async () => {
    const stopping = new AbortController()
    const kinds: string[] = []
    for await (const { kind } of monitor(client, { ...stateOf(), intervalMs: 1 }, stopping.signal)) {
      if (kinds.push(kind) === 3) stopping.abort()
    }
    expect(kinds).toEqual(['advanced', 'unchanged', 'unchanged'])
  })
})

/** What a monitor that knows `known` says of a server that shows `shown`. */
async function checkAgainst(
  known: string | undefined,
  react: React,
  vkey = key.vkey,
  more: Partial<MonitorOptions> = {},
): Promise<{ readonly check: Check; readonly saved: readonly string[] }> {
  const { url } = await hostile(react)
  const state = stateOf(known)
  const check = await checkOnce(openLogClient({ url, vkey, retry }), { ...state, ...more })
  return { check, saved: state.saved }
}

describe('an older checkpoint', () => {
  const log = new MemoryLog(key, leavesOf(300))

  test.each([
    [300, 'unchanged'],
    [310, 'advanced'],
  ])('of a server that shows %i entries when it is asked again is no rollback: %s', async (size, kind) => {
    const later = new MemoryLog(key, leavesOf(size))
    let asked = 0
    const { check, saved } = await checkAgainst(log.note(), ({ path }) =>
      path === '/checkpoint' && asked++ < 1 ? log.answer(path, 290) : later.answer(path),
    )
    expect(check.kind).toBe(kind)
    expect(saved.at(-1)).toBe(later.note())
  })

  test('that is no part of the known tree is a fork at once', async () => {
    const other = new MemoryLog(key, leavesOf(290, 280))
    let asked = 0
    const { check } = await checkAgainst(log.note(), ({ path }) =>
      path === '/checkpoint' && asked++ < 1 ? other.answer(path) : log.answer(path),
    )
    expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'FORKED', shown: { note: other.note() } } })
  })
})

describe('a violation', () => {
  test.each([
    [5, 9, 4],
    [5, 9, 0],
    [256, 300, 255],
    [300, 700, 299],
    [300, 700, 10],
    [700, 701, 256],
  ])('is a fork: known at size %i, shown at %i, other leaves from %i on', async (size, newSize, forkAt) => {
    const known = new MemoryLog(key, leavesOf(size)).note()
    const forked = new MemoryLog(key, leavesOf(newSize, forkAt))
    const { check, saved } = await checkAgainst(known, forked.serve())
    expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'FORKED' } })
    if (check.kind !== 'violated' || check.finding.kind !== 'FORKED') throw new Error('unreachable')
    // Both are evidence by themselves: the log's signature is on them.
    expect(check.finding.known.note).toBe(known)
    expect(check.finding.shown.note).toBe(forked.note())
    expect(saved).toEqual([known])
  })

  test('is a fork: another root of the same size', async () => {
    const known = new MemoryLog(key, leavesOf(7)).note()
    const { check } = await checkAgainst(known, new MemoryLog(key, leavesOf(7, 6)).serve())
    expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'FORKED' } })
  })

  test.each([0, 1, 255, 299])('is a rollback: a checkpoint of size %i after one of 300', async (size) => {
    const log = new MemoryLog(key, leavesOf(300))
    const { check, saved } = await checkAgainst(log.note(), ({ path }) => log.answer(path, size))
    expect(check).toMatchObject({
      kind: 'violated',
      finding: { kind: 'ROLLBACK', known: { note: log.note() }, shown: { note: log.note(size) } },
    })
    expect(saved).toEqual([log.note()])
  })

  test.each([
    [300, 290, 280],
    [700, 300, 3],
  ])(
    'is a fork: known at size %i, shown at %i, other leaves from %i on, while the known tiles are there',
    async (size, older, forkAt) => {
      const log = new MemoryLog(key, leavesOf(size))
      const other = new MemoryLog(key, leavesOf(older, forkAt))
      const { check } = await checkAgainst(log.note(), ({ path }) =>
        path === '/checkpoint' ? other.answer(path) : log.answer(path),
      )
      expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'FORKED', shown: { note: other.note() } } })
      const { check: without } = await checkAgainst(log.note(), other.serve())
      expect(without).toMatchObject({ kind: 'violated', finding: { kind: 'ROLLBACK' } })
    },
  )

  test('is a rollback too where the tiles of the known tree are still there, but for longer than servers are apart', async () => {
    const log = new MemoryLog(key, leavesOf(300))
    const react: React = ({ path }) => (path === '/checkpoint' ? log.answer(path, 10) : log.answer(path))
    for (const olderMs of [0, 20]) {
      const { check } = await checkAgainst(log.note(), react, key.vkey, { olderMs })
      expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'ROLLBACK' } })
    }
  })

  test.each<[string, (note: string) => string]>([
    ['invalid-signature', (note) => note.replace('\n9\n', '\n10\n')],
    [
      'origin-mismatch',
      (note) => key.sign(`other.example/log\n${note.split('\n\n')[0]?.split('\n').slice(1).join('\n')}\n`),
    ],
  ])('is a checkpoint that is not the log’s: %s', async (code, change) => {
    const log = new MemoryLog(key, leavesOf(9))
    const { check } = await checkAgainst(log.note(5), ({ path }) =>
      path === '/checkpoint' ? { status: 200, body: change(log.note()) } : log.answer(path),
    )
    expect(check).toMatchObject({ kind: 'violated', finding: { kind: 'BAD_CHECKPOINT', violation: { code } } })
    if (check.kind !== 'violated' || check.finding.kind !== 'BAD_CHECKPOINT') throw new Error('unreachable')
    expect(check.finding.violation.evidence).toBe(change(log.note()))
  })
})

describe('what could not be checked is no violation, and no all-clear', () => {
  const log = new MemoryLog(key, leavesOf(700))
  const flip = ({ status, body }: Said): Said => {
    const bytes = Uint8Array.from(body as Uint8Array)
    bytes[0] = (bytes[0] as number) ^ 1
    return { status, body: bytes }
  }

  test.each(['/tile/0/002.p/188', '/tile/1/000.p/2', '/tile/0/001'])('%s was altered', async (which) => {
    const { check, saved } = await checkAgainst(log.note(300), ({ path }) =>
      path === which ? flip(log.answer(path)) : log.answer(path),
    )
    expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'tile-mismatch' } })
    expect(saved).toEqual([log.note(300)])
  })

  test('an entry bundle was altered', async () => {
    const { url } = await hostile(({ path }) => {
      const said = log.answer(path)
      return path === '/tile/entries/001' ? { ...said, body: log.bundle(2, 188) } : said
    })
    const seen: number[] = []
    const takeLeaves = async (leaves: readonly Uint8Array[]): Promise<void> => void seen.push(leaves.length)
    const state = stateOf(log.note(200))
    const check = await checkOnce(openLogClient({ url, vkey: key.vkey, retry }), { ...state, takeLeaves })
    expect(check).toMatchObject({ kind: 'unchecked' })
    expect(seen).toEqual([56])
    expect(state.saved).toEqual([log.note(200)])
  })

  test.each<[string, Said | 'cut' | 'endless', object]>([
    ['tiles are gone', { status: 404, body: '' }, { name: 'Refused', status: 404 }],
    ['tiles do not come', 'cut', { name: 'Unavailable' }],
    ['tiles do not end', 'endless', { code: 'answer-too-large' }],
    ['tiles are short', { status: 200, body: 'x' }, { code: 'malformed-tile' }],
  ])('%s', async (_, reaction, error) => {
    const { check } = await checkAgainst(log.note(300), ({ path }) =>
      path === '/checkpoint' ? log.answer(path) : reaction,
    )
    expect(check).toMatchObject({ kind: 'unchecked', error })
  })

  test('nobody answers', async () => {
    const { check } = await checkAgainst(log.note(300), () => 'cut')
    expect(check).toMatchObject({ kind: 'unchecked', error: { name: 'Unavailable' } })
  })

  test('the checkpoint is of another key', async () => {
    const { check } = await checkAgainst(undefined, log.serve(), makeKey(key.origin).vkey)
    expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'unverified-note' } })
  })

  test.each(['', 'cut', new MemoryLog(makeKey(key.origin), leavesOf(3)).note(), log.note(300).replace('300', '299')])(
    'state %# is no checkpoint of this log, and is not overwritten',
    async (text) => {
      const { check, saved } = await checkAgainst(text, log.serve())
      expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'unreadable-state' } })
      expect(saved).toEqual([text])
    },
  )

  test('the first checkpoint has tiles that are not its own', async () => {
    const { check, saved } = await checkAgainst(undefined, ({ path }) =>
      path === '/checkpoint' ? log.answer(path) : flip(log.answer(path)),
    )
    expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'tile-mismatch' } })
    expect(saved).toEqual([])
  })
})

test('a log of size 0 is followed like any other', async () => {
  const empty = new MemoryLog(key, [])
  const { check } = await checkAgainst(undefined, empty.serve())
  expect(check).toMatchObject({ kind: 'advanced', to: { note: empty.note() } })
  const next = await checkAgainst(empty.note(), new MemoryLog(key, [encodeUtf8('one')]).serve())
  expect(next.check).toMatchObject({ kind: 'advanced', to: { checkpoint: { size: 1 } } })
})
