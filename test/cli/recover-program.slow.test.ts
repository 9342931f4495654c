import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openLogClient } from '../../src/client/log-client.ts'
import { checkOnce } from '../../src/client/monitor.ts'
import { verifierOf } from '../../src/log/follow-checkpoints.ts'
import { checkOwnAct, type OwnActEntry } from '../../tlog/own-act.ts'
import { tamper } from '../support/audit.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { copyOf } from '../support/database-copy.ts'
import { type Environment, endAll, type ServerProcess, startServer, tryServer } from '../support/server-process.ts'
import { environmentOf, expectDone, querySql, type Ran, runProgram, urlOf } from '../support/servers.ts'

// The real program on a database that was restored from a backup of 5 entries, when 305 were signed.

const early = 5
const size = 305
let parent: string
let origin: string
let vkey: string
/** The database as it was at the backup, and as it was at last. */
let backup: TestDatabase
let newest: TestDatabase
/** The folder of the log at last; its memory at the backup is in `early-memory`. */
let master: string
/** What a monitor has seen last. */
let seen: string

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-recover-'))
  master = join(parent, 'master')
  newest = await makeDatabase()
  const environment = settingsOf(newest)
  const made = await expectDone(runProgram(['init', '--json'], master, environment))
  ;({ origin, vkey } = JSON.parse(made) as { origin: string; vkey: string })
  await withServer(master, environment, (server) => append(server, early))
  backup = await copyOf(newest)
  await cp(join(master, 'signer-state.json'), join(parent, 'early-memory'))
  seen = await withServer(master, environment, async (server) => {
    await append(server, 100)
    await append(server, 200)
    return (await fetch(`${server.url}/checkpoint`)).text()
  })
})
afterAll(async () => {
  await endAll(master)
  await backup.drop()
  await newest.drop()
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

/** Of the test: the restored database, the newer copy, and the folder. */
let restored: TestDatabase
let copy: TestDatabase
let dataDir: string
let environment: Environment
beforeEach(async () => {
  restored = await copyOf(backup)
  copy = await copyOf(newest)
  dataDir = join(await mkdtemp(join(parent, 'test-')), 'data')
  await cp(master, dataDir, { recursive: true })
  environment = settingsOf(restored)
})
afterEach(async () => {
  await endAll(dataDir)
  await restored.drop()
  await copy.drop()
})

function settingsOf(database: TestDatabase): Environment {
  return { ...environmentOf(database), DENDROLOG_VERIFIER: 'false' }
}

async function withServer<T>(
  folder: string,
  settings: Environment,
  work: (server: ServerProcess) => Promise<T>,
): Promise<T> {
  const server = await startServer(folder, settings)
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

async function append({ url, tokens }: ServerProcess, count: number): Promise<void> {
  const event = (n: number): string =>
    JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { n, '10': [1e300, -0.5], ü: 'ü' } })
  const answer = await fetch(`${url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: Array.from({ length: count }, (_, n) => event(n)).join('\n'),
  })
  expect(answer.status).toBe(200)
}

function recover(...args: readonly string[]): Promise<Ran> {
  return runProgram(['recover', ...args], dataDir, environment)
}

const from = (): readonly string[] => ['--from', urlOf(copy.as('auditor_reader_role'))]

async function entriesOf(database: TestDatabase): Promise<number> {
  const [row] = await querySql(database.admin, 'select count(*)::int as count from security.audit_logs')
  return (row as { count: number }).count
}

/** What a server says of the log when it has started. */
async function incident(): Promise<string | null> {
  return withServer(dataDir, environment, async ({ url }) => {
    const answer = await fetch(`${url}/readyz`)
    return ((await answer.json()) as { incident?: string }).incident ?? null
  })
}

describe('a database that was restored', () => {
  test('is a rollback, and goes on when it was rolled forward from a newer copy', async () => {
    expect(await incident()).toBe('ROLLBACK')
    const trial = JSON.parse(await expectDone(recover(...from(), '--dry-run', '--json')))
    expect(trial).toMatchObject({ fromSize: early, toSize: size, signedSize: size, leftOut: null, isTrial: true })
    expect(await entriesOf(restored)).toBe(early)
    expect(await expectDone(recover(...from()))).toMatch(
      /^entries 6 to 305 and \d+ checkpoints were recovered; 305 entries were signed\nthe server may be started/,
    )
    expect(await entriesOf(restored)).toBe(size)
    await withServer(dataDir, environment, async (server) => {
      const client = openLogClient({ url: server.url, vkey })
      expect(await checkOnce(client, { load: async () => seen, save: async () => {} })).toMatchObject({
        kind: 'unchanged',
      })
      await append(server, 10)
      expect(await checkOnce(client, { load: async () => seen, save: async () => {} })).toMatchObject({
        kind: 'advanced',
      })
    })
    const verified = JSON.parse(await expectDone(runProgram(['verify', '--full', '--json'], dataDir, environment)))
    expect(verified).toMatchObject({ isSecure: true, notChecked: [] })
    expect(await expectDone(recover(...from()))).toContain('there is nothing to recover')
  })

  test('has the very rows and heads that it had', async () => {
    await expectDone(recover(...from()))
    for (const [table, key] of [
      ['audit_logs', 'sequence_number'],
      ['entry_ids', 'sequence_number'],
      ['tiles', 'tile_index'],
      ['tree_heads', 'tree_size'],
      ['checkpoints', 'number'],
    ] as const) {
      const text = `select to_jsonb(t) - 'created_at' as row from security.${table} t order by ${key}`
      expect(await querySql(restored.admin, text), table).toEqual(await querySql(newest.admin, text))
    }
  })

  test('goes on where the copy lacks the newest checkpoints', async () => {
    await tamper(
      copy,
      'delete from security.checkpoints where number > (select max(number) - 2 from security.checkpoints)',
    )
    const { lostCheckpoints } = JSON.parse(await expectDone(recover(...from(), '--json'))) as {
      lostCheckpoints: number
    }
    expect(lostCheckpoints).toBe(1)
    expect(await incident()).toBe(null)
  })

  test('is not recovered without a copy, nor while its server runs', async () => {
    expect(await recover()).toMatchObject({
      status: 2,
      output: expect.stringContaining('entries 6 to 305 are missing'),
    })
    await withServer(dataDir, environment, async () => {
      expect((await recover(...from())).status).toBe(2)
    })
    expect(await entriesOf(restored)).toBe(early)
  })

  test('is not recovered without its memory, or by an older one', async () => {
    const memory = join(dataDir, 'signer-state.json')
    await rename(memory, `${memory}.away`)
    expect(await recover(...from())).toMatchObject({ status: 2, output: expect.stringContaining('memory is missing') })
    await cp(join(parent, 'early-memory'), memory)
    expect(await recover(...from())).toMatchObject({ status: 2, output: expect.stringContaining('memory is older') })
    expect(await entriesOf(restored)).toBe(early)
  })
})

describe('a copy is refused, and nothing is written', () => {
  test.each([
    [
      `update security.audit_logs set payload = '{"n": 7}' where sequence_number = 100`,
      'entry 100 of the source was altered',
    ],
    [
      'set session_replication_role = replica; delete from security.tree_heads where tree_size = 305',
      'does not contain the 305 entries',
    ],
  ])('after %s', async (statement, reason) => {
    await tamper(copy, statement)
    expect(await recover(...from())).toMatchObject({ status: 2, output: expect.stringContaining(reason) })
    expect(await entriesOf(restored)).toBe(early)
  })
})

describe('a database with other entries than were signed', () => {
  /** Goes on from the backup with the memory of then, as nobody should, and gets the newest memory back. */
  async function fork(count: number): Promise<void> {
    const memory = join(dataDir, 'signer-state.json')
    await rename(memory, `${memory}.newest`)
    await cp(join(parent, 'early-memory'), memory)
    await withServer(dataDir, environment, (server) => append(server, count))
    await rename(`${memory}.newest`, memory)
  }

  test.each([
    [3, 'ROLLBACK'],
    [size, 'FORKED'],
  ])('of which %i are others, which a server calls %s, cannot be rolled forward', async (count, code) => {
    await fork(count)
    expect(await incident()).toBe(code)
    const before = await entriesOf(restored)
    const { status, output } = await recover(...from())
    expect([status, output]).toEqual([1, expect.stringContaining('VIOLATION  FORKED')])
    expect(await entriesOf(restored)).toBe(before)
  })
})

describe('a log that ends', () => {
  let successor: TestDatabase
  const reason = 'the only copy of entries 6 to 305 was lost'
  const end = (name = origin): Promise<Ran> =>
    recover('--end-log', name, '--new-origin', 'new.example/log', '--reason', reason)
  beforeEach(async () => {
    successor = await makeDatabase()
  })
  afterEach(() => successor.drop())

  test('signs never again, and the log after it begins with what it was', async () => {
    expect(await end('other.example')).toMatchObject({ status: 2 })
    const output = await expectDone(end())
    expect(output).toContain('recover --begin')
    const refused = await tryServer(dataDir, environment)
    expect(refused).toMatchObject({ status: 2, output: expect.stringContaining('new.example/log comes after it') })
    expect(await expectDone(runProgram(['keys', 'export', '--format', 'vkey'], dataDir, environment))).toBe(`${vkey}\n`)
    // The old ledger can still be verified: it lacks what was signed.
    const verified = await runProgram(['verify', '--full', '--json'], dataDir, environment)
    expect(JSON.parse(verified.output)).toMatchObject({ violationType: 'ROLLBACK', notChecked: [] })

    const folder = join(parent, 'successor')
    const settings = settingsOf(successor)
    const begin = ['recover', '--begin', join(dataDir, 'ended.json')]
    const begun = JSON.parse(await expectDone(runProgram([...begin, '--json'], folder, settings))) as { vkey: string }
    expect(await runProgram(begin, folder, settings)).toMatchObject({ status: 2 })
    await withServer(folder, settings, async ({ url, tokens }) => {
      const headers = { authorization: `Bearer ${tokens.auditor}` }
      const entry = (await (await fetch(`${url}/v1/entries/1`, { headers })).json()) as OwnActEntry
      const act = checkOwnAct(entry, verifierOf(begun))
      expect(act).toMatchObject({
        ...{ action: 'dendrolog.log.succeeded', actorId: expect.stringMatching(/^local:/), resource: `log:${origin}` },
        detail: { origin, vkey, checkpoint: seen, reason },
      })
    })
  })

  test('is followed by one that any start makes, should the beginning be interrupted', async () => {
    await expectDone(end())
    const folder = join(parent, 'interrupted')
    await mkdir(folder, { mode: 0o711 })
    const succeeds: unknown = JSON.parse(await readFile(join(dataDir, 'ended.json'), 'utf8'))
    const half = JSON.stringify({ origin: 'new.example/log', state: 'creating', succeeds })
    await writeFile(join(folder, 'log.json'), half, { mode: 0o600 })
    await expectDone(runProgram(['init'], folder, settingsOf(successor)))
    const rows = await querySql(successor.admin, 'select sequence_number, action, payload from security.audit_logs')
    expect(rows).toMatchObject([{ sequence_number: '1', action: 'dendrolog.log.succeeded', payload: { reason } }])
  })

  test('has ended also for a folder that was restored', async () => {
    await mkdir(join(parent, 'kept'))
    for (const name of ['log.json', 'keys'])
      await cp(join(dataDir, name), join(parent, 'kept', name), { recursive: true })
    await expectDone(end())
    for (const name of ['log.json', 'keys'])
      await cp(join(parent, 'kept', name), join(dataDir, name), { recursive: true })
    expect(await tryServer(dataDir, environment)).toMatchObject({
      status: 2,
      output: expect.stringContaining('was ended'),
    })
    // Whoever ends it again finishes what was begun, and does not begin anew.
    await expectDone(recover('--end-log', origin, '--new-origin', 'another.example', '--reason', 'x'))
    expect(JSON.parse(await readFile(join(dataDir, 'ended.json'), 'utf8'))).toMatchObject({
      ...{ origin, newOrigin: 'new.example/log', reason },
    })
  })

  test('without its memory is named by the last checkpoint that somebody saw', async () => {
    await rm(join(dataDir, 'signer-state.json'))
    expect(await end()).toMatchObject({ status: 2, output: expect.stringContaining('--checkpoint FILE') })
    const file = join(dataDir, 'seen')
    await writeFile(file, seen)
    await expectDone(
      recover('--end-log', origin, '--new-origin', 'new.example', '--reason', 'gone', '--checkpoint', file),
    )
    expect(JSON.parse(await readFile(join(dataDir, 'ended.json'), 'utf8'))).toMatchObject({ checkpoint: seen })
  })
})
