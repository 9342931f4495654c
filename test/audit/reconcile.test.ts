import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type AskOutside, askOutside, type Outside } from '../../src/audit/reconcile.ts'
import type { VerificationReport } from '../../src/audit/report.ts'
import { signatureReview } from '../../src/audit/signature-review.ts'
import { emptyState, formatState } from '../../src/audit/verifier-state.ts'
import { knownCheckpointsSource, memoryOf, tileFilesSource, verifierSource } from '../../src/cli/verify/outside.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { writeSecretFile } from '../../src/store/secret-file.ts'
import { openPool } from '../../src/store/session.ts'
import { openTileStore } from '../../src/store/tile-store.ts'
import { TileFiles } from '../../src/tiles/tile-files.ts'
import { formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { asCompactRange } from '../../tlog/compact-range.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { buildPyramid, upperNodesIn } from '../../tlog/tile-nodes.ts'
import { edgeFromTiles } from '../../tlog/tree-edge.ts'
import { tamper, verify } from '../support/audit.ts'
import type { TestDatabase } from '../support/database.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, origin, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

// A superuser cuts the end of a log of 700 entries, at 300, while the signer's file is there, gone, or of that time.

const cutAt = 300
const size = 700
let home: TestLog
let copy: TestDatabase
let config: Config
let memory: string
let known: string
/** Notes of the checkpoints of 300 and 700 entries. */
let notes: { readonly early: string; readonly late: string }

beforeAll(async () => {
  home = await createTestLog()
  const running = await home.start()
  memory = join(home.folder, 'signer-state.json')
  known = join(home.folder, 'known')
  await append(0, cutAt)
  const early = (await home.cell.read())?.note ?? ''
  await cp(memory, `${memory}.stale`)
  await append(cutAt, size)
  await running.stop()
  notes = { early, late: (await home.cell.read())?.note ?? '' }
  await cp(memory, `${memory}.present`)
  config = readConfig({ DENDROLOG_DATA_DIR: home.folder })

  async function append(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += 100) {
      await submit(running.log, recordsOf(at, at + 100))
      await running.log.waitForCheckpoint(at + 100)
    }
  }
})
afterAll(() => home.drop())
beforeEach(async () => {
  copy = await copyOf(home.database)
  await mkdir(known)
})
afterEach(async () => {
  await copy.drop()
  await cp(`${memory}.present`, memory)
  await rm(known, { recursive: true })
  await rm(join(home.folder, 'tiles'), { recursive: true, force: true })
})

const review = () => signatureReview(parseVkey(home.keys.vkey), parseBase64(home.keys.sthPublicKey))

/** Everybody that a server's verifier asks. */
function ask(stored: Parameters<typeof askOutside>[2]): Promise<Outside> {
  const sources = [tileFilesSource(config, origin), knownCheckpointsSource(known, parseVkey(home.keys.vkey))]
  return askOutside({ sources, memory: memoryOf(config, origin) }, review(), stored)
}

function report(): Promise<VerificationReport> {
  return verify(copy, home.keys, [], { askOutside: ask })
}

const brief = ({ findings }: VerificationReport): unknown[] =>
  findings.map(({ violationType, knownBy, knownSize }) => [violationType, knownBy, knownSize])

/** Each with what is before it. */
const cuts = {
  'the rows alone': '',
  'the rows and the heads': `delete from security.tiles where level > 0 or tile_index > 0;
    delete from security.tree_heads where tree_size > ${cutAt};`,
  'everything behind them': `delete from security.tiles where level > 0 or tile_index > 0;
    delete from security.tree_heads where tree_size > ${cutAt};
    delete from security.checkpoints where tree_size > ${cutAt};`,
} as const

function cut(what: keyof typeof cuts): Promise<void> {
  // Foreign keys would refuse.
  return tamper(
    copy,
    `set session_replication_role = replica;
    delete from security.audit_logs where sequence_number > ${cutAt};
    delete from security.entry_ids where sequence_number > ${cutAt};
    ${cuts[what]}
    set session_replication_role = origin`,
  )
}

async function setMemory(how: 'present' | 'absent' | 'stale'): Promise<void> {
  if (how === 'absent') await rm(memory)
  else await cp(`${memory}.${how}`, memory)
}

const byHead = ['HEAD_TRUNCATED', 'head', size]
const byCheckpoint = ['HEAD_TRUNCATED', 'checkpoint', size]
const rollback = ['ROLLBACK', "the signer's memory", size]
const missed = ['CHECKPOINT_MISSING', "the signer's memory", undefined]
const database = expect.stringMatching(/^checkpoint \d+ of the database$/)

describe('a tail that was cut', () => {
  test.each([
    ['the rows alone', 'present', [byHead]],
    ['the rows alone', 'absent', [['SIGNER_MEMORY_MISSING', database, size], byHead]],
    ['the rows alone', 'stale', [['SIGNER_MEMORY_STALE', database, size], byHead]],
    ['the rows and the heads', 'present', [byCheckpoint, rollback]],
    ['the rows and the heads', 'absent', [['SIGNER_MEMORY_MISSING', database, size], byCheckpoint]],
    ['the rows and the heads', 'stale', [['SIGNER_MEMORY_STALE', database, size], byCheckpoint]],
    ['everything behind them', 'present', [missed, rollback]],
    ['everything behind them', 'absent', [['SIGNER_MEMORY_MISSING', database, cutAt]]],
    // Database and memory were restored together: somebody else has to know.
    ['everything behind them', 'stale', []],
  ] as const)('(%s) with the signer’s file %s is named', async (what, how, want) => {
    await cut(what)
    await setMemory(how)
    const found = brief(await report())
    expect(found).toHaveLength(want.length)
    expect(found).toEqual(expect.arrayContaining([...want]))
  })

  test('is known to a monitor, and so is that the memory was restored with it', async () => {
    await cut('everything behind them')
    await setMemory('stale')
    await writeFile(join(known, 'monitor'), notes.late)
    const place = `a known checkpoint (${join(known, 'monitor')})`
    expect(brief(await report())).toEqual([
      ['SIGNER_MEMORY_STALE', place, size],
      ['ROLLBACK', place, size],
    ])
  })

  test('is known to the tile files, as far as their tiles were full', async () => {
    await fileTiles(2)
    await cut('everything behind them')
    await setMemory('stale')
    expect(brief(await report())).toEqual([
      ['SIGNER_MEMORY_STALE', 'the folder of tile files', 512],
      ['ROLLBACK', 'the folder of tile files', 512],
    ])
  })
})

test('a tail that was cut is known to whoever hashed it before', async () => {
  const { query, close } = openPool(home.database.as('auditor_reader_role'), 1, 10_000)
  const edge = await edgeFromTiles(openTileStore(query, schema, nativeSha256), asTreeSize(512), nativeSha256)
  await close()
  const { sealKey } = home.keys
  const state = { ...emptyState, base: asCompactRange(edge.size, edge.frontier) }
  await writeSecretFile(join(home.folder, 'verifier-state'), formatState(state, origin, sealKey))
  await cut('everything behind them')
  await setMemory('stale')
  const sources = [verifierSource(config, { origin, sealKey })]
  const asking: AskOutside = (stored) => askOutside({ sources, memory: memoryOf(config, origin) }, review(), stored)
  expect(brief(await verify(copy, home.keys, [], { askOutside: asking }))).toEqual([['ROLLBACK', 'the verifier', 512]])
  // What it hashed need not have been signed: of the memory that says nothing.
  const other = [verifierSource(config, { origin, sealKey: new Uint8Array(32) })]
  const refused = await askOutside({ sources: other, memory: undefined }, review(), undefined)
  expect(refused).toEqual({
    known: [],
    findings: [],
    notAsked: [expect.stringContaining('move it away to begin anew')],
  })
})

describe('a log that nobody touched', () => {
  test('has no findings, whoever is asked', async () => {
    await fileTiles(2)
    await writeFile(join(known, 'early'), notes.early)
    await writeFile(join(known, 'receipt.json'), JSON.stringify({ entry: {}, checkpoint: notes.late }))
    await writeFile(join(known, '.hidden'), 'no note')
    expect(await report()).toMatchObject({ isSecure: true, findings: [] })
    const { known: heads } = await ask(undefined)
    expect(heads.map(({ treeSize }) => treeSize)).toEqual([512, cutAt, size, size])
  })

  test('but whose memory is gone has that finding, and no other', async () => {
    await setMemory('absent')
    expect(brief(await report())).toEqual([['SIGNER_MEMORY_MISSING', database, size]])
  })

  test('but whose memory is of another key has a signature that does not hold', async () => {
    const last = await home.cell.read()
    if (last === undefined) throw new Error('no memory')
    const { note, sthSignature, coseSignature: _, root, ...rest } = last
    const forged = note.slice(0, -30) + [...note.slice(-30, -10)].reverse().join('') + note.slice(-10)
    const cell = { ...rest, note: forged, root: formatBase64(root), sthSignature: formatBase64(sthSignature) }
    await writeFile(memory, JSON.stringify(cell), { mode: 0o600 })
    expect((await report()).violationType).toBe('SIGNATURE_INVALID')
  })

  test('has a tile file that is damaged: that knows nothing', async () => {
    await fileTiles(2)
    await writeFile(join(home.folder, 'tiles', '0'), Buffer.alloc(20_000))
    expect(await report()).toMatchObject({ isSecure: true, notChecked: [] })
  })
})

test('a checkpoint that the log did not sign is nobody’s word, and is told as not asked', async () => {
  await writeFile(join(known, 'other'), notes.late.replace(origin, 'other.example'))
  const { known: heads, notAsked } = await ask(undefined)
  expect(heads).toHaveLength(1)
  expect(notAsked).toEqual([expect.stringContaining(`${join(known, 'other')}: is no checkpoint that ${origin} signed`)])
})

test('another tree that somebody was shown is a fork', async () => {
  const fork = await createTestLog()
  try {
    const running = await fork.start()
    await submit(running.log, recordsOf(1_000, 1_100))
    await running.log.waitForCheckpoint(100)
    await running.stop()
    const root = (await fork.cell.read())?.root
    if (root === undefined) throw new Error('no memory')
    const shown = [{ treeSize: 100, root, knownBy: 'a monitor' }]
    expect(brief(await verify(copy, home.keys, shown))).toEqual([['FORKED', 'a monitor', undefined]])
  } finally {
    await fork.drop()
  }
})

/** What a server has filed of the log, which is in the tree. */
async function fileTiles(count: number): Promise<void> {
  const { query, close } = openPool(home.database.as('auditor_reader_role'), 1, 10_000)
  const stored = openTileStore(query, schema, nativeSha256)
  const files = await TileFiles.open(join(home.folder, 'tiles'), origin)
  for (let index = 0; index < count; index++) {
    const tile = await stored.readTile(0, index, 256)
    await files.write({ level: 0, index }, [{ tile, upperNodes: upperNodesIn(buildPyramid(tile, nativeSha256)) }])
  }
  await Promise.all([files.close(), close()])
}
