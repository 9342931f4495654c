import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Load } from '../e2e/load.ts'
import { expectAcknowledged, expectWholeLog, withClient } from '../e2e/whole-log.ts'
import type { TestDatabase } from '../support/database.ts'
import { makeDatabase } from '../support/database.ts'
import { type Environment, endAll, startServer, tryServer } from '../support/server-process.ts'
import {
  createCellDatabase,
  dropDatabase,
  environmentOf,
  expectDone,
  makeServers,
  type Ran,
  runProgram,
  untilLeads,
  urlOf,
} from '../support/servers.ts'

let parent: string
let database: TestDatabase
let cell: Awaited<ReturnType<typeof createCellDatabase>>
let withFile: Environment
let withCell: Environment
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-joining-'))
  database = await makeDatabase()
  cell = await createCellDatabase()
  withFile = environmentOf(database)
  withCell = { ...withFile, DENDROLOG_SIGNER_STATE: urlOf(cell) }
})
afterEach(async () => {
  await endAll(parent)
  await database.drop()
  await dropDatabase(cell)
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

const folder = (name: string): string => join(parent, name)

async function expectRefused(running: Promise<Ran>, reason: RegExp): Promise<void> {
  const { status, output } = await running
  expect([status, output]).toEqual([2, expect.stringMatching(reason)])
  expect(output).not.toContain(String(cell.password))
}

describe('a file as signer state', () => {
  test('is for one server: another one that has a copy of the folder refuses to start', async () => {
    const server = await startServer(folder('a'), withFile)
    await cp(folder('a'), folder('b'), { recursive: true })
    const second = await tryServer(folder('b'), withFile)
    expect(second).toMatchObject({ status: 2, output: expect.stringContaining('one server at a time') })
    await server.stop()
    const other = { ...withFile, DENDROLOG_SIGNER_STATE: folder('elsewhere.json') }
    expect(await tryServer(folder('b'), other)).toMatchObject({ status: 2, output: expect.stringContaining('missing') })
  })

  test('is moved while the server is stopped, after which the log has several', async () => {
    const server = await startServer(folder('a'), withFile)
    const load = new Load(() => server.url, server.tokens.writer)
    await load.sendOne()
    const file = folder('a/signer-state.json')
    await expectRefused(runProgram(['init', '--move-cell', file], folder('a'), withCell), /in use by another server/)
    await server.stop()
    await expectRefused(runProgram(['init', '--move-cell', file], folder('a'), withFile), /is a file/)
    const logs = { ...withFile, DENDROLOG_SIGNER_STATE: urlOf(database.admin) }
    await expectRefused(runProgram(['init', '--move-cell', file], folder('a'), logs), /own database/)
    expect(await tryServer(folder('a'), withCell)).toMatchObject({ status: 2 })
    await expectDone(runProgram(['init', '--move-cell', file], folder('a'), withCell))
    await expectRefused(runProgram(['init', '--move-cell', file], folder('a'), withCell), /is missing/)
    expect(await tryServer(folder('a'), withFile)).toMatchObject({ status: 2 })
    const running = await startServer(folder('a'), withCell)
    await untilLeads(running)
    await expectDone(runProgram(['init', '--hand-over', folder('h')], folder('a'), withCell))
    await expectDone(runProgram(['init', '--join', folder('h')], folder('b'), withCell))
    const joined = await startServer(folder('b'), withCell)
    await running.stop()
    await untilLeads(joined)
    const next = new Load(() => joined.url, joined.tokens.writer)
    await next.sendOne()
    expect(next.acknowledged.size).toBe(1)
    // Two of ours; the log's own entry, that its signer state is elsewhere, may be there already.
    const count = await expectWholeLog(database.as('auditor_reader_role'), joined.url)
    expect(count).toBeGreaterThanOrEqual(2)
  })
})

describe('init --join', () => {
  beforeEach(async () => {
    await expectDone(runProgram(['init'], folder('a'), withCell))
    await expectDone(runProgram(['init', '--hand-over', folder('h')], folder('a'), withCell))
  })

  const joinLog = (environment = withCell, from = folder('h')): Promise<Ran> =>
    runProgram(['init', '--join', from], folder('b'), environment)

  async function expectNothingMade(): Promise<void> {
    expect(existsSync(folder('b/log.json'))).toBe(false)
    expect(await readdir(folder('b/keys')).catch(() => [])).toEqual([])
  }

  test('what is handed over is for its owner alone', async () => {
    expect((await stat(folder('h'))).mode % 0o1000).toBe(0o700)
    const names = (await readdir(folder('h'))).sort()
    expect(names).toEqual(['checkpoint', 'note-key', 'seal-key', 'sth-key.pem', 'tokens.json'])
    for (const name of names) expect((await stat(join(folder('h'), name))).mode % 0o1000, name).toBe(0o600)
    await expectRefused(runProgram(['init', '--hand-over', folder('h')], folder('a'), withCell), /not empty/)
  })

  test('a file as signer state, and an embedded database, are refused', async () => {
    await expectRefused(joinLog(withFile), /DENDROLOG_SIGNER_STATE: is a file/)
    const { DENDROLOG_SIGNER_STATE } = withCell
    await expectRefused(joinLog({ DENDROLOG_SIGNER_STATE: DENDROLOG_SIGNER_STATE ?? '' }), /DATABASE_URL: is not set/)
    await expectNothingMade()
  })

  test('the keys of another log are refused', async () => {
    const other = await makeServers(1)
    try {
      await expectDone(other.run(0, 'init', '--hand-over', folder('other')))
      await expectRefused(joinLog(withCell, folder('other')), /holds nothing of this log/)
      for (const name of ['seal-key', 'sth-key.pem', 'note-key']) {
        await cp(folder('h'), folder(`mixed-${name}`), { recursive: true })
        await cp(join(folder('other'), name), join(folder(`mixed-${name}`), name))
        await expectRefused(joinLog(withCell, folder(`mixed-${name}`)), /not sealed|does not hold|key of/)
      }
      await expectRefused(joinLog({ ...withCell, ...environmentOf(other.database) }), /not sealed/)
    } finally {
      await other.close()
    }
    await expectNothingMade()
  })

  test('a checkpoint that the database does not extend, or that nobody signed, is refused', async () => {
    const server = await startServer(folder('a'), withCell)
    const load = new Load(() => server.url, server.tokens.writer)
    await load.sendOne()
    await expectWholeLog(database.as('auditor_reader_role'), server.url)
    const note = await (await fetch(`${server.url}/checkpoint`)).text()
    await server.stop()
    await writeFile(folder('h/checkpoint'), note.replace('\n1\n', '\n2\n'))
    await expectRefused(joinLog(), /does not hold/)
    await writeFile(folder('h/checkpoint'), 'what is this')
    await expectRefused(joinLog(), /note/)
    await rm(folder('h/checkpoint'))
    await expectRefused(joinLog(), /the note of a checkpoint is wanted/)
    await writeFile(folder('h/checkpoint'), note)
    await withClient(cell, (client) => client.query('delete from dendrolog_signer.cells'))
    await expectRefused(joinLog(), /holds nothing of this log/)
    await expectNothingMade()
  })

  test('a memory that is older than the checkpoint is refused; else the folder is a server', async () => {
    const [before] = (await withClient(cell, (client) => client.query('select checkpoint from dendrolog_signer.cells')))
      .rows as { checkpoint: string }[]
    const server = await startServer(folder('a'), withCell)
    const load = new Load(() => server.url, server.tokens.writer)
    await load.sendOne()
    await expectWholeLog(database.as('auditor_reader_role'), server.url)
    await writeFile(folder('h/checkpoint'), await (await fetch(`${server.url}/checkpoint`)).text())
    await expectDone(joinLog())
    await server.stop()
    await withClient(cell, (client) =>
      client.query('update dendrolog_signer.cells set checkpoint = $1', [before?.checkpoint]),
    )
    const refused = runProgram(['init', '--join', folder('h')], folder('c'), withCell)
    await expectRefused(refused, /ROLLBACK/)
    await expectRefused(joinLog(), /holds a log already/)
  })
})

const gateway = process.env.DENDROLOG_TEST_VERSITYGW ?? ''

describe.skipIf(gateway === '')('an object of a real store as signer state', () => {
  let child: ChildProcess
  let store: Environment
  beforeEach(async () => {
    const port = await freePort()
    await mkdir(folder('objects/cells'), { recursive: true })
    await mkdir(folder('iam'))
    const env = { PATH: process.env.PATH ?? '', ROOT_ACCESS_KEY: 'test', ROOT_SECRET_KEY: 'a-secret-of-the-store' }
    const args = ['--port', `127.0.0.1:${port}`, '--iam-dir', folder('iam'), 'posix', folder('objects')]
    child = spawn(gateway, args, { env, stdio: 'ignore' })
    store = {
      DENDROLOG_SIGNER_STATE: 's3://cells/logs/one.json',
      DENDROLOG_S3_ENDPOINT: `http://127.0.0.1:${port}`,
      DENDROLOG_S3_ACCESS_KEY_ID: 'test',
      DENDROLOG_S3_SECRET_ACCESS_KEY: 'a-secret-of-the-store',
    }
    await untilAnswers(`http://127.0.0.1:${port}`)
  })
  afterEach(() => {
    child.kill()
  })

  test('two servers share it, and the leader is killed', async () => {
    const servers = await makeServers(2, store)
    try {
      const running = [await servers.start(0), await servers.start(1)] as const
      let n = 0
      const load = new Load(() => running[n++ % 2 === 0 ? 0 : 1].url, running[0].tokens.writer)
      const stop = new AbortController()
      const loading = load.run(stop.signal, { batchers: 1, singles: 2 })
      await sleep(1_000)
      await running[0].kill()
      console.log(`take-over with an object as cell: ${(await untilLeads(running[1])).toFixed(0)} ms`)
      await sleep(500)
      stop.abort()
      await loading
      const rest = new Load(() => running[1].url, running[1].tokens.writer)
      await rest.sendOne()
      expect(rest.acknowledged.size).toBe(1)
      for (const [id, index] of rest.acknowledged) {
        load.sent.add(id)
        load.acknowledged.set(id, index)
      }
      const reader = servers.database.as('auditor_reader_role')
      await withClient(reader, (client) => expectAcknowledged(client, load))
      await expectWholeLog(reader, running[1].url)
      expect(running.map((server) => server.output()).join('')).not.toContain('a-secret-of-the-store')
      const printed = await expectDone(servers.run(0, 'config'))
      expect(printed).toContain('DENDROLOG_S3_SECRET_ACCESS_KEY')
      expect(printed).not.toContain('a-secret-of-the-store')
    } finally {
      await servers.close()
    }
  })

  test('a bucket that is not there is refused by its name, without the secret', async () => {
    const environment = { ...withFile, ...store, DENDROLOG_SIGNER_STATE: 's3://no-bucket/one.json' }
    await expectRefused(runProgram(['init'], folder('a'), environment), /s3:\/\/no-bucket\/one\.json: NoSuchBucket/)
    expect(await readFile(folder('a/log.json'), 'utf8').catch(() => 'none')).toBe('none')
  })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

async function untilAnswers(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await fetch(url).catch(() => undefined)) !== undefined) return
    await sleep(50)
  }
  throw new Error(`${url} does not answer`)
}
