import { afterEach, describe, expect, test } from 'vitest'
import { evidenceOf, type Finding } from '../../src/client/finding.ts'
import { openLogClient } from '../../src/client/log-client.ts'
import { type Check, checkOnce, type MonitorOptions } from '../../src/client/monitor.ts'
import type { SweptEntry } from '../../src/client/sweep-entries.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { leafFormat } from '../../tlog/entry.ts'
import { checkEvidence, type EvidenceJson, type EvidenceVerdict } from '../../tlog/evidence.ts'
import { asHash } from '../../tlog/hash.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import type { SignedTreeHead } from '../../tlog/sth.ts'
import { formatTilePath, tilesOfSize, tileWidth } from '../../tlog/tile.ts'
import { type HostileServer, openHostileServer, type React, type Said, withJson } from './hostile-server.ts'
import { type Change, EntryLog, entriesOf, makeSthKey } from './memory-entries.ts'
import { leavesOf, MemoryLog, makeKey } from './memory-log.ts'

const opened: HostileServer[] = []
const retry = { attemptsMax: 1, pauseMs: 1, pauseMsMax: 100 }
const key = makeKey('memory.example/log')
const sthKey = makeSthKey()

afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})

/** Options with their state in memory. */
function optionsOf(known?: string): MonitorOptions & Memory {
  const memory: Memory = { note: known, tilesSize: 0, entriesSize: 0, taken: [] }
  const position = (name: 'tilesSize' | 'entriesSize') => ({
    load: async () => memory[name],
    save: async (size: number) => {
      memory[name] = size
    },
  })
  const options: MonitorOptions = {
    load: async () => memory.note,
    save: async (note) => {
      memory.note = note
    },
    olderMs: 100,
    tiles: position('tilesSize'),
    entries: { ...position('entriesSize'), take: async (entries) => void memory.taken.push(...entries) },
  }
  return Object.assign(memory, options)
}

type Memory = {
  note: string | undefined
  tilesSize: number
  entriesSize: number
  readonly taken: SweptEntry[]
}

async function look(react: React, options: MonitorOptions): Promise<{ check: Check; asked: HostileServer['asked'] }> {
  const server = await openHostileServer('', react)
  opened.push(server)
  const check = await checkOnce(openLogClient({ url: server.url, vkey: key.vkey, token: 'auditor', retry }), options)
  return { check, asked: server.asked }
}

function withoutEntries({ entries: _, ...options }: MonitorOptions & Memory): MonitorOptions {
  return options
}

function findingOf(check: Check): Finding {
  if (check.kind !== 'violated') throw new Error(`no violation: ${JSON.stringify(check)}`)
  return check.finding
}

function evidence(finding: Finding): EvidenceJson {
  const json = evidenceOf(finding, { seenAtMs: 0, url: 'https://log.example/', vkey: key.vkey })
  return JSON.parse(JSON.stringify(json)) as EvidenceJson
}

/** What anybody with the keys makes of evidence. */
function judge(json: EvidenceJson): EvidenceVerdict {
  const verifier = textVerifier(parseVkey(key.vkey), nodeSignatureCheck)
  return checkEvidence(json, { verifier, sth: { spki: sthKey.spki, check: nodeSignatureCheck } })
}

function flip({ status, body }: Said, at = 0): Said {
  const bytes = Uint8Array.from(body as Uint8Array)
  bytes[at] = (bytes[at] as number) ^ 1
  return { status, body: bytes }
}

describe('tiles', () => {
  test('are read once each, and only the new ones when the log grows', async () => {
    const options = optionsOf()
    const sizes = [300, 700, 66_000].map(asTreeSize)
    const leaves = leavesOf(66_000)
    const seen = new Set<string>()
    for (const size of sizes) {
      const log = new MemoryLog(key, leaves.slice(0, size))
      const { check, asked } = await look(log.serve(), withoutEntries(options))
      expect(check.kind).toBe('advanced')
      expect(options.tilesSize).toBe(size)
      const full = asked.map(({ path }) => path).filter((path) => /^\/tile\/[^p]*$/.test(path))
      // What shows the extension is read for that too, and may have gone from memory when the sweep comes to it.
      expect(full.length - new Set(full).size).toBeLessThanOrEqual(1)
      for (const path of full) seen.add(path)
      const again = await look(log.serve(), withoutEntries(options))
      expect(again.check.kind).toBe('unchanged')
      expect(again.asked.map(({ path }) => path)).toEqual(['/checkpoint'])
    }
    const all = [...tilesOfSize(asTreeSize(66_000))].filter(({ width }) => width === tileWidth)
    expect(all.map((coord) => `/${formatTilePath(coord)}`).filter((path) => !seen.has(path))).toEqual([])
  })

  test('that a monitor did not look at so far are read when it is told to', async () => {
    const log = new MemoryLog(key, leavesOf(700))
    const options = optionsOf(log.note())
    expect((await look(log.serve(), withoutEntries(options))).check.kind).toBe('unchanged')
    expect(options.tilesSize).toBe(700)
  })

  const log = new MemoryLog(key, leavesOf(700))

  test.each(['/tile/0/000', '/tile/0/001', '/tile/0/002.p/188', '/tile/1/000.p/2'])(
    'an altered one is a violation: %s; the state stays',
    async (which) => {
      const options = optionsOf(log.note(300))
      const react: React = ({ path }) => (path === which ? flip(log.answer(path)) : log.answer(path))
      const { check } = await look(react, withoutEntries(options))
      const finding = findingOf(check)
      expect(finding).toMatchObject({
        kind: 'TILE_MISMATCH',
        known: { note: log.note(300) },
        shown: { note: log.note() },
      })
      expect([options.note, options.tilesSize]).toEqual([log.note(300), 0])
      const json = evidence(finding)
      expect(json.files.map(({ path }) => `/${path}`)).toContain(which)
      expect(judge(json)).toMatchObject({ kind: 'unproved' })
    },
  )

  test('one that was altered on the way once is asked for again past caches', async () => {
    let times = 0
    const options = optionsOf()
    const { check, asked } = await look(
      ({ path }) => (path === '/tile/0/000' && times++ === 0 ? flip(log.answer(path)) : log.answer(path)),
      withoutEntries(options),
    )
    expect(check.kind).toBe('advanced')
    const controls = asked.filter(({ path }) => path === '/tile/0/000').map(({ headers }) => headers['cache-control'])
    expect(controls).toEqual([undefined, 'no-cache'])
  })
})

describe('entries', () => {
  const log = new EntryLog(key, entriesOf(700))
  const serve: React = ({ path }) => log.answerCt(path, undefined)

  test('are handed over once, in order, with the payload that was logged', async () => {
    const options = optionsOf()
    const first = new EntryLog(key, log.entries.slice(0, 300))
    expect((await look(({ path }) => first.answerCt(path, undefined), options)).check.kind).toBe('advanced')
    expect((await look(serve, options)).check.kind).toBe('advanced')
    expect(options.taken.map(({ leafIndex }) => leafIndex)).toEqual(Array.from({ length: 700 }, (_, i) => i))
    expect(options.taken[650]).toMatchObject({ fields: { sequenceNumber: 651 }, payload: { index: 650 } })
    expect(options.entriesSize).toBe(700)
  })

  test('whoever takes them may fail: they come again', async () => {
    const options = optionsOf()
    const failing = { ...options, entries: { ...options.entries, take: () => Promise.reject(new Error('no room')) } }
    await expect(look(serve, failing as MonitorOptions)).rejects.toThrow('no room')
    expect([options.note, options.entriesSize]).toEqual([undefined, 0])
  })

  test('of a log that is believed are not read again from the first one on when a look was cut short', async () => {
    const options = optionsOf(log.note())
    const cut: React = ({ path }) => (path.startsWith('/tile/entries/002') ? 'cut' : log.answerCt(path, undefined))
    expect((await look(cut, options)).check).toMatchObject({ kind: 'unchecked', error: { name: 'Unavailable' } })
    expect([options.entriesSize, options.tilesSize]).toEqual([512, 0])
    expect((await look(serve, options)).check.kind).toBe('unchanged')
    expect(options.taken.map(({ leafIndex }) => leafIndex)).toEqual(Array.from({ length: 700 }, (_, i) => i))
  })

  test.each(['/tile/entries/001', '/ct/v1/get-entries?start=256'])(
    'that the server does not serve, since they are not what was signed, are a violation by its own word: %s',
    async (path) => {
      const problem = { code: 'entry-damaged', detail: 'entry 301 is not served: it was changed', status: 500 }
      const damaged: Said = { status: 500, body: JSON.stringify(problem) }
      const options = optionsOf(log.note())
      const { check } = await look(
        (asked) => (asked.path.startsWith(path) ? damaged : log.answerCt(asked.path, undefined)),
        options,
      )
      const finding = findingOf(check)
      expect(finding).toMatchObject({ kind: 'LEAF_MISMATCH', detail: expect.stringContaining('entry 301') })
      expect(judge(evidence(finding)).kind).not.toBe('proved')
      expect([options.entriesSize, options.taken.length]).toEqual([256, 256])
    },
  )

  const at400 =
    (fields: ReturnType<Change>): Change =>
    (index) =>
      index === 400 ? fields : undefined
  test.each<[string, Change]>([
    ['GAP_IN_SEQUENCE', at400({ sequenceNumber: 402 })],
    ['CLOCK_BACKWARDS', at400({ timestamp: 1_600_000_000_000_000 })],
    ['CHAIN_HASH_BROKEN', at400({ currentHash: asHash(new Uint8Array(32)) })],
  ])(
    '%s: a leaf of the signed tree that no log may have is a violation, and its evidence a proof',
    async (kind, change) => {
      const bad = new EntryLog(key, entriesOf(700, change))
      const options = optionsOf(bad.note(300))
      const { check } = await look(({ path }) => bad.answerCt(path, undefined), options)
      const finding = findingOf(check)
      expect(finding).toMatchObject({ kind, leafIndex: 400 })
      expect([options.note, options.tilesSize]).toEqual([bad.note(300), 0])
      const json = evidence(finding)
      expect(judge(json)).toMatchObject({ kind: 'proved', code: kind.toLowerCase().replaceAll('_', '-') })
      const other = new EntryLog(key, entriesOf(700))
      expect(() => judge({ ...json, shown: { checkpoint: other.note() } })).toThrow('leaf 399 in 700')
    },
  )

  test('LEAF_MALFORMED: bytes that are no leaf', async () => {
    const entries = [...log.entries]
    entries[3] = { leaf: encodeUtf8('no leaf'), payload: encodeUtf8('{}') }
    const bad = new EntryLog(key, entries)
    const finding = findingOf((await look(({ path }) => bad.answerCt(path, undefined), optionsOf())).check)
    expect(finding).toMatchObject({ kind: 'LEAF_MALFORMED', leafIndex: 3 })
    expect(judge(evidence(finding))).toMatchObject({ kind: 'proved', code: 'leaf-malformed' })
  })

  test('a leaf of a format to come could not be checked', async () => {
    const entries = [...log.entries]
    const leaf = Uint8Array.from((entries[3] as { leaf: Uint8Array }).leaf)
    leaf[1] = leafFormat + 1
    entries[3] = { leaf, payload: encodeUtf8('{}') }
    const bad = new EntryLog(key, entries)
    const { check } = await look(({ path }) => bad.answerCt(path, undefined), optionsOf())
    expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'unknown-leaf-format' } })
  })

  const replace = (name: 'leaf_input' | 'extra_data', text: string) => (said: Said) =>
    withJson({ ...said, body: Buffer.from(said.body) }, ({ entries }) => ({
      entries: (entries as Record<string, unknown>[]).map((entry, i) => (i === 7 ? { ...entry, [name]: text } : entry)),
    }))
  test.each<[string, string, (said: Said) => Said]>([
    ['LEAF_MISMATCH', '/tile/entries/001', (said) => flip(said, 40)],
    ['LEAF_MISMATCH', '/ct/v1/get-entries?start=0&end=255', replace('leaf_input', 'AAAA')],
    ['PAYLOAD_CORRUPT', '/ct/v1/get-entries?start=256&end=511', replace('extra_data', btoa('{"index":263}'))],
  ])('%s: what %s has is not what was logged', async (kind, which, change) => {
    const options = optionsOf(log.note(300))
    const { check } = await look(({ path }) => {
      const said = log.answerCt(path, undefined)
      return path === which ? change(said) : said
    }, options)
    const finding = findingOf(check)
    expect(finding.kind).toBe(kind)
    expect(judge(evidence(finding)).kind).toBe('unproved')
    expect(options.note).toBe(log.note(300))
  })

  test.each<[string, Said | 'endless', object]>([
    ['a refusal', { status: 403, body: '{"code":"forbidden","detail":"no"}' }, { code: 'forbidden' }],
    ['an empty list', { status: 200, body: '{"entries":[]}' }, { code: 'not-understood' }],
    ['no JSON', { status: 200, body: '<html>' }, { code: 'not-understood' }],
    ['no base64', { status: 200, body: '{"entries":[{"leaf_input":"?"}]}' }, { code: 'malformed-base64' }],
    ['no end', 'endless', { code: 'answer-too-large' }],
  ])('%s is no answer, and no violation', async (_, said, error) => {
    const react: React = ({ path }) => (path.startsWith('/ct/') ? said : log.answer(path))
    expect((await look(react, optionsOf())).check).toMatchObject({ kind: 'unchecked', error })
  })
})

describe('the signed tree head', () => {
  const nowMs = 1_700_000_000_000
  const log = new EntryLog(key, entriesOf(300))

  /** A look at a log with this STH, which the key signed unless it is said otherwise. */
  async function lookAt(
    sth: SignedTreeHead,
    more: { readonly publicKey?: Uint8Array; readonly last?: SignedTreeHead; readonly known?: string } = {},
  ): Promise<Check> {
    const { tiles: _, entries: __, ...options } = optionsOf(more.known)
    const state = { load: async () => more.last, save: async () => {} }
    const { check } = await look(({ path }) => log.answerCt(path, sth), {
      ...options,
      sth: { publicKey: sthKey.spki, maxAgeMs: 60_000, nowMs: () => nowMs, state, ...more },
    })
    return check
  }
  const own = (size: number, timestampMs: number): SignedTreeHead => sthKey.sign(log, size, timestampMs)
  const other = (size: number, timestampMs: number): SignedTreeHead =>
    sthKey.sign(
      new EntryLog(
        key,
        entriesOf(size, (i) => (i === 5 ? { lamport: 7 } : undefined)),
      ),
      size,
      timestampMs,
    )

  test.each([
    [300, 0],
    [300, -60_000],
    [300, 60_000],
    [299, -1_000],
    [0, 0],
  ])('of %i entries, %i ms from now, vouches for a checkpoint of 300', async (size, ms) => {
    expect(await lookAt(own(size, nowMs + ms))).toMatchObject({ kind: 'advanced', sth: { size } })
  })

  test.each([-60_001, 60_001])('that is %i ms from now vouches for nothing: stale, and the state moves', async (ms) => {
    const { tiles: _, entries: __, ...options } = optionsOf()
    const memory = { note: '' }
    const { check } = await look(({ path }) => log.answerCt(path, own(300, nowMs + ms)), {
      ...options,
      save: async (note) => {
        memory.note = note
      },
      sth: { maxAgeMs: 60_000, nowMs: () => nowMs },
    })
    expect(check).toMatchObject({ kind: 'stale', ageMs: -ms, at: { note: log.note() } })
    expect(memory.note).toBe(log.note())
  })

  test.each([300, 200])('of %i entries of another tree is a violation, and its evidence a proof', async (size) => {
    const finding = findingOf(await lookAt(other(size, nowMs)))
    expect(finding).toMatchObject({ kind: 'STH_MISMATCH', shown: { note: log.note() } })
    expect(judge(evidence(finding))).toMatchObject({ kind: 'proved', code: 'forked' })
  })

  test('that is not signed with the key given, or with none given is of another tree, could not be checked', async () => {
    const { spki } = makeSthKey()
    expect(await lookAt(own(300, nowMs), { publicKey: spki })).toMatchObject({
      kind: 'unchecked',
      error: { code: 'invalid-signature' },
    })
    const { tiles: _, entries: __, ...options } = optionsOf()
    const { check } = await look(({ path }) => log.answerCt(path, other(300, nowMs)), { ...options, sth: {} })
    expect(check).toMatchObject({ kind: 'unchecked', error: { code: 'sth-mismatch' } })
  })

  test('of a smaller tree and a later time than one before is a violation, and its evidence a proof', async () => {
    const finding = findingOf(await lookAt(own(200, nowMs), { last: own(250, nowMs - 1) }))
    expect(finding.kind).toBe('STH_BACKWARDS')
    expect(judge(evidence(finding))).toMatchObject({ kind: 'proved', code: 'clock-backwards' })
    expect(await lookAt(own(250, nowMs), { last: own(200, nowMs - 1) })).toMatchObject({ kind: 'advanced' })
    expect(await lookAt(own(200, nowMs - 1), { last: own(250, nowMs) })).toMatchObject({ kind: 'advanced' })
  })

  test('of more entries than the checkpoint: the checkpoint is asked for again', async () => {
    let asked = 0
    const { tiles: _, entries: __, ...options } = optionsOf()
    const sth = own(300, nowMs)
    const react: React = ({ path }) =>
      path === '/checkpoint' && asked++ === 0 ? log.answer(path, 290) : log.answerCt(path, sth)
    const more = { ...options, olderMs: 5_000, sth: { nowMs: () => nowMs } }
    expect((await look(react, more)).check).toMatchObject({ kind: 'advanced', to: { note: log.note() } })
    const behind: React = ({ path }) => (path === '/checkpoint' ? log.answer(path, 290) : log.answerCt(path, sth))
    const fresh = { ...more, load: async () => undefined, olderMs: 0 }
    expect((await look(behind, fresh)).check).toMatchObject({
      kind: 'unchecked',
      error: { code: 'behind' },
    })
  })

  test('that is none could not be checked', async () => {
    const { tiles: _, entries: __, ...options } = optionsOf()
    for (const body of ['[]', '{"tree_size":300}', '<html>']) {
      const react: React = ({ path }) => (path === '/ct/v1/get-sth' ? { status: 200, body } : log.answer(path))
      expect((await look(react, { ...options, sth: {} })).check).toMatchObject({ kind: 'unchecked' })
    }
  })
})

describe('evidence of a fork', () => {
  async function forkOf(size: number, newSize: number, forkAt: number): Promise<Finding> {
    const known = new MemoryLog(key, leavesOf(size))
    const forked = new MemoryLog(key, leavesOf(newSize, forkAt))
    const { tiles: _, entries: __, ...options } = optionsOf(known.note())
    return findingOf((await look(forked.serve(), options)).check)
  }

  test.each([
    [7, 7, 6],
    [1, 2, 0],
    [5, 9, 4],
    [256, 300, 255],
    [300, 700, 10],
    [700, 701, 256],
  ])(
    'is a proof to everybody: known at size %i, shown at %i, other leaves from %i on',
    async (size, newSize, forkAt) => {
      const json = evidence(await forkOf(size, newSize, forkAt))
      expect(judge(json)).toMatchObject({ kind: 'proved', code: 'forked' })
      // Nobody can make one of two checkpoints of one tree.
      const honest = new MemoryLog(key, leavesOf(size))
      if (size === newSize) {
        expect(judge({ ...json, shown: { checkpoint: honest.note() } })).toMatchObject({ kind: 'unproved' })
      } else {
        expect(() => judge({ ...json, known: { checkpoint: new MemoryLog(key, leavesOf(size - 1)).note() } })).toThrow()
        expect(judge({ ...json, prefix: null })).toMatchObject({ kind: 'unproved' })
      }
    },
  )

  test('of a tree that the known one shows not to begin with it is a proof too', async () => {
    const known = new MemoryLog(key, leavesOf(700))
    const other = new MemoryLog(key, leavesOf(300, 3))
    const { tiles: _, entries: __, ...options } = optionsOf(known.note())
    const react: React = ({ path }) => (path === '/checkpoint' ? other.answer(path) : known.answer(path))
    const finding = findingOf((await look(react, options)).check)
    expect(finding.kind).toBe('FORKED')
    expect(judge(evidence(finding))).toMatchObject({ kind: 'proved', code: 'forked' })
  })

  test('does not hold with any of its hashes altered, or signed by others', async () => {
    const json = evidence(await forkOf(300, 700, 10))
    const prefix = json.prefix as NonNullable<EvidenceJson['prefix']>
    const zeros = Buffer.alloc(32).toString('base64')
    for (const i of prefix.hashes.keys()) {
      expect(() => judge({ ...json, prefix: { ...prefix, hashes: prefix.hashes.with(i, zeros) } })).toThrow()
    }
    expect(() => judge({ ...json, prefix: { ...prefix, root: zeros } })).toThrow('from 300 to 700, old root')
    const stranger = new MemoryLog(makeKey(key.origin), leavesOf(300))
    expect(() => judge({ ...json, known: { checkpoint: stranger.note() } })).toThrow('none known')
    expect(() => judge({ ...json, format: 'dendrolog/evidence/2' as EvidenceJson['format'] })).toThrow('format')
  })

  test('a rollback is the word of who saw it', async () => {
    const log = new MemoryLog(key, leavesOf(300))
    const { tiles: _, entries: __, ...options } = optionsOf(log.note())
    const { check } = await look(({ path }) => log.answer(path, 200), options)
    const json = evidence(findingOf(check))
    expect(json).toMatchObject({ known: { checkpoint: log.note() }, shown: { checkpoint: log.note(200) } })
    expect(judge(json)).toMatchObject({ kind: 'unproved', detail: expect.stringContaining('word') })
  })
})
