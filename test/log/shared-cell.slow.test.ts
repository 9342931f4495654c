import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CellPlace, openCell } from '../../src/log/cell-place.ts'
import { LogIncident } from '../../src/log/incident.ts'
import { openObjectCell } from '../../src/log/object-cell.ts'
import { Signer } from '../../src/log/signer.ts'
import type { OpenedCell, SignerCell } from '../../src/log/signer-cell.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openPool, type Pool, type Query } from '../../src/store/session.ts'
import { createTestLog, origin, recordsOf, schema, submissionOf, type TestLog } from '../support/log.ts'
import { type ObjectStore, startObjectStore } from '../support/object-store.ts'
import { sequenceUnsigned } from '../support/sequencer.ts'
import { createCellDatabase, dropDatabase, urlOf } from '../support/servers.ts'

let home: TestLog
let connections: Pool
let cellDatabase: Awaited<ReturnType<typeof createCellDatabase>>
let store: ObjectStore
let opened: OpenedCell[]
beforeEach(async () => {
  home = await createTestLog()
  connections = openPool(home.database.as('checkpoint_signer_role'), 2, 10_000)
  cellDatabase = await createCellDatabase()
  store = await startObjectStore()
  opened = []
})
afterEach(async () => {
  await Promise.all([connections.close(), ...opened.map((cell) => cell.close())])
  await Promise.all([store.close(), home.drop(), dropDatabase(cellDatabase)])
})

const places: Readonly<Record<'table' | 'object', () => CellPlace>> = {
  table: () => ({ kind: 'table', url: urlOf(cellDatabase) }),
  object: () => ({ kind: 'object', ...store.place }),
}

function open(kind: keyof typeof places): OpenedCell {
  const cell = openCell(places[kind](), origin)
  opened.push(cell)
  return cell
}

/** A cell that remembers what the test's log signed last, as each of several servers opens it. */
async function openFilled(kind: keyof typeof places): Promise<() => OpenedCell> {
  const cell = open(kind)
  await cell.prepare()
  await cell.read()
  await cell.write(await lastOf(home.cell))
  return () => open(kind)
}

async function lastOf(cell: SignerCell): Promise<NonNullable<Awaited<ReturnType<SignerCell['read']>>>> {
  const last = await cell.read()
  if (last === undefined) throw new Error('the cell is empty')
  return last
}

function openSigner(cell: SignerCell, query: Query = connections.query): Promise<Signer> {
  const { signing, sealKey } = home.keys
  return Signer.open({ origin, sealKey, keys: signing, cell, query, schema, hash: nativeSha256 })
}

function append(from: number, to: number): Promise<void> {
  return sequenceUnsigned(
    home,
    recordsOf(from, to).map((record) => submissionOf(record)),
  )
}

describe.each(['table', 'object'] as const)('a cell in a %s', (kind) => {
  test('is written by whoever read what it holds, and by nobody else', async () => {
    const [one, other] = [open(kind), open(kind)]
    await one.prepare()
    await other.prepare()
    expect([await one.read(), await other.read()]).toEqual([undefined, undefined])
    const first = await lastOf(home.cell)
    await one.write(first)
    await expect(other.write({ ...first, number: 1 })).rejects.toMatchObject({ code: 'LOCKED' })
    expect(await other.read()).toMatchObject({ number: 0, note: first.note })
    await other.write({ ...first, number: 1 })
    await other.write({ ...first, number: 2 })
    await expect(one.write({ ...first, number: 1 })).rejects.toMatchObject({ code: 'LOCKED' })
    expect(await lastOf(one)).toMatchObject({ number: 2 })
  })

  test('is not written without being read', async () => {
    const cell = open(kind)
    await cell.prepare()
    await expect(cell.write(await lastOf(home.cell))).rejects.toThrow('without being read')
  })

  test('of another log is refused', async () => {
    await openFilled(kind)
    const other = openCell(places[kind](), 'another.example/log')
    opened.push(other)
    if (kind === 'table') expect(await other.read()).toBeUndefined()
    else await expect(other.read()).rejects.toThrow('is of the log test.example/log')
  })

  test('of a log that was ended is the end for every signer', async () => {
    const openShared = await openFilled(kind)
    const running = await openSigner(openShared())
    const cell = openShared()
    const { note } = await lastOf(cell)
    const { vkey } = home.keys
    const texts = { newOrigin: 'new.example/log', reason: 'lost', by: 'local:test', endedAt: '2026-01-01T00:00:00Z' }
    const ending = { origin, vkey, checkpoint: note, ...texts }
    await cell.end(ending)
    await append(0, 10)
    await expect(running.sign(Date.now(), 60_000)).rejects.toMatchObject({ code: 'LOCKED' })
    await expect(openSigner(openShared())).rejects.toMatchObject({ name: 'LogEnded', ending })
  })

  test('of two signers, the one that fell behind signs nothing more', async () => {
    const openShared = await openFilled(kind)
    const [slow, quick] = [await openSigner(openShared()), await openSigner(openShared())]
    await append(0, 10)
    await quick.sign(Date.now(), 60_000)
    await expect(slow.sign(Date.now(), 60_000)).rejects.toMatchObject({ code: 'LOCKED' })
    await append(10, 20)
    expect(await quick.sign(Date.now(), 60_000)).toMatchObject({ number: 2, treeSize: 20 })
    await expect(slow.sign(Date.now(), 60_000)).rejects.toThrow()
    expect(await home.check()).toMatchObject({ size: 20, publishedSize: 20, checkpoints: 3 })
  })

  test('that remembers more than the database has is a ROLLBACK', async () => {
    const openShared = await openFilled(kind)
    const cell = openShared()
    const last = await lastOf(cell)
    await cell.write({ ...last, number: 1, treeSize: 5 })
    await expect(openSigner(openShared())).rejects.toMatchObject({ code: 'ROLLBACK' })
  })
})

const steps = {
  'read head': '.tree_heads',
  'read leaf hashes': '.audit_logs',
  'write cell': undefined,
  'insert checkpoint': 'insert into security.checkpoints',
} as const
type Step = keyof typeof steps

/** Fails once it is armed, before or after acting. */
function faulty(cell: SignerCell, step: Step, isDone: boolean): { query: Query; cell: SignerCell; arm: () => void } {
  let isArmed = false
  const strike = async <T>(act: () => Promise<T>): Promise<T> => {
    if (!isArmed) return act()
    if (isDone) await act()
    throw new Error(`injected: ${step}`)
  }
  const text = steps[step]
  return {
    query: (sql, values) => {
      const act = (): ReturnType<Query> => connections.query(sql, values)
      return text !== undefined && sql.includes(text) ? strike(act) : act()
    },
    cell: {
      read: cell.read,
      write: (checkpoint) => (text === undefined ? strike(() => cell.write(checkpoint)) : cell.write(checkpoint)),
    },
    arm: () => {
      isArmed = true
    },
  }
}

describe.each(Object.keys(steps) as Step[])('a server whose step "%s" of signing', (step) => {
  test.each([
    { fault: 'failed', isDone: false },
    { fault: 'failed though it was done', isDone: true },
  ])('$fault is followed by another, and does no harm afterwards', async ({ isDone }) => {
    const openShared = await openFilled('table')
    await append(0, 10)
    const { query, cell, arm } = faulty(openShared(), step, isDone)
    const failing = await openSigner(cell, query)
    arm()
    await expect(failing.sign(Date.now(), 60_000)).rejects.toThrow(`injected: ${step}`)
    const next = await openSigner(openShared())
    const checkpoint = (await next.sign(Date.now(), 60_000)) ?? next.last
    expect(checkpoint).toMatchObject({ number: 1, treeSize: 10 })
    await append(10, 20)
    expect(await next.sign(Date.now(), 60_000)).toMatchObject({ number: 2, treeSize: 20 })
    await expect(failing.sign(Date.now(), 60_000)).rejects.toThrow()
    expect(await lastOf(openShared())).toMatchObject({ number: 2 })
    expect(await home.check()).toMatchObject({ size: 20, publishedSize: 20, checkpoints: 3 })
  })
})

test('a server that reads cell and database while another signs is told so, not that the database went back', async () => {
  const openShared = await openFilled('table')
  const rival = await openSigner(openShared())
  await append(0, 10)
  const cell = openShared()
  let isFirst = true
  const late: SignerCell = {
    write: cell.write,
    read: async () => {
      const found = await cell.read()
      if (isFirst) await rival.sign(Date.now(), 60_000)
      isFirst = false
      return found
    },
  }
  await expect(openSigner(late)).rejects.toMatchObject({ name: LogIncident.name, code: 'LOCKED' })
  expect((await openSigner(late)).last).toMatchObject({ number: 1 })
})

test.each([
  { ignored: ['if-match'] as const },
  { ignored: ['if-none-match'] as const },
  { ignored: ['if-match', 'if-none-match'] as const },
])('a store that ignores $ignored is refused, and nothing of the probe stays', async ({ ignored }) => {
  const careless = await startObjectStore(ignored)
  const cell = openObjectCell(careless.place)
  try {
    await expect(cell.prepare()).rejects.toThrow('does not honour')
    expect(careless.objects.size).toBe(0)
  } finally {
    await cell.close()
    await careless.close()
  }
})

test('an object that was written although the answer was lost is found by the next look', async () => {
  const openShared = await openFilled('object')
  const cell = openShared()
  const last = await lastOf(cell)
  store.onPut = () => {
    throw new Error('the answer is lost')
  }
  await expect(cell.write({ ...last, number: 1 })).rejects.toThrow('s3://cells/logs/test.json')
  store.onPut = () => {}
  await expect(cell.write({ ...last, number: 1 })).rejects.toThrow('without being read')
  expect(await cell.read()).toMatchObject({ number: 1 })
})
