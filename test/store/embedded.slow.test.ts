import { existsSync, readdirSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Cluster, openCluster } from '../../src/store/embedded.ts'
import {
  buildClusterProgram,
  type ClusterProcess,
  copyClusterProgram,
  startClusterProcess,
} from '../support/cluster-process.ts'

const isRoot = process.getuid?.() === 0
const nobody = { uid: 65_534, gid: 65_534 }
const systemMajor = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql').sort().at(-1) : undefined

let programs: string
let program: string
let parent: string
let dataDir: string
const started: { stop(): Promise<void> }[] = []

beforeAll(async () => {
  programs = await mkdtemp(join(tmpdir(), 'dendrolog-program-'))
  await chmod(programs, 0o755)
  program = join(programs, 'main')
  await buildClusterProgram(program)
})

afterAll(() => rm(programs, { recursive: true, force: true }))

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-embedded-'))
  await chmod(parent, 0o755)
  dataDir = join(parent, 'data')
})

afterEach(async () => {
  for (const cluster of started.splice(0)) await cluster.stop()
  // A test that failed between a kill and its adoption: stopping is what adopting allows.
  if (existsSync(join(dataDir, 'pg', 'postmaster.pid'))) await (await openCluster({ dataDir })).stop()
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

async function open(binDir?: string): Promise<Cluster> {
  const cluster = await openCluster({ dataDir, binDir })
  started.push(cluster)
  return cluster
}

async function openProcess(...args: Parameters<typeof startClusterProcess>): Promise<ClusterProcess> {
  const process = await startClusterProcess(...args)
  if (process.answer.error === undefined) started.push(process)
  return process
}

async function query(config: ClientConfig, sql: string): Promise<unknown[]> {
  const client = new Client(config)
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

async function postmasterPid(): Promise<number> {
  return Number((await readFile(join(dataDir, 'pg', 'postmaster.pid'), 'utf8')).split('\n')[0])
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode % 0o1000).toString(8)
}

describe('a cluster', () => {
  test('is created, stopped, started again with its rows, and stopping twice is stopping once', async () => {
    const first = await open()
    expect(first.startedAs).toBe('created')
    expect(first.version).toMatch(/^postgres \(PostgreSQL\) \d+/)
    await query(first.config, 'create table ring as select 1 as year')
    await first.stop()
    await first.stop()
    expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(false)
    const second = await open()
    expect(second.startedAs).toBe('started')
    expect(await query(second.config, 'select year from ring')).toEqual([1])
  })

  test('is durable, local, closed to others, and compares text by bytes', async () => {
    const { config } = await open()
    const names = [
      ...['fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'listen_addresses', 'jit'],
      'max_slot_wal_keep_size',
    ]
    const shown = await query(config, `select ${names.map((name) => `current_setting('${name}')`).join(', ')}`)
    expect(shown).toEqual(['on', 'on', 'on', 'on', '', 'off', '8GB'])
    expect(await query(config, "select 'a' < 'B', 'Z' < 'a', upper('a')")).toEqual([false, true, 'A'])
    const database = 'select pg_encoding_to_char(encoding) from pg_database where datname = current_database()'
    expect(await query(config, database)).toEqual(['UTF8'])
    expect(await query(config, 'select distinct auth_method from pg_hba_file_rules')).toEqual(['scram-sha-256'])
    await expect(new Client({ ...config, password: 'wrong' }).connect()).rejects.toMatchObject({ code: '28P01' })
    const modes = { '': '711', keys: '700', pg: '700', 'keys/pg-admin-password': '600', 'pg.log': '600' }
    for (const [path, mode] of Object.entries(modes))
      expect([path, await modeOf(join(dataDir, path))]).toEqual([path, mode])
    expect(await modeOf(config.host as string)).toBe('700')
    expect(isRoot ? (await stat(join(dataDir, 'pg'))).uid : 1).not.toBe(0)
  })

  test('whose postmaster was killed comes back with its rows', async () => {
    const first = await open()
    await query(first.config, 'create table ring as select 1 as year')
    process.kill(await postmasterPid(), 'SIGKILL')
    await first.stop()
    const second = await open()
    expect(second.startedAs).toBe('started')
    expect(await query(second.config, 'select year from ring')).toEqual([1])
  })

  test('whose server was killed goes on running and is adopted', async () => {
    const server = await startClusterProcess(program, dataDir)
    expect(server.answer.startedAs).toBe('created')
    const pid = await postmasterPid()
    const ended = new Promise((resolve) => server.child.once('exit', resolve))
    server.child.kill('SIGKILL')
    await ended
    const next = await open()
    expect(next.startedAs).toBe('adopted')
    expect(await postmasterPid()).toBe(pid)
    expect(await query(next.config, 'select 1')).toEqual([1])
  })

  test('is one process’s: two first starts at once give one cluster and one refusal', async () => {
    const both = await Promise.all([openProcess(program, dataDir), openProcess(program, dataDir)])
    expect(both.map(({ answer }) => answer.startedAs ?? 'refused').sort()).toEqual(['created', 'refused'])
    const refusal = both.find(({ answer }) => answer.error !== undefined)
    expect(refusal?.answer.error).toBe(
      `${dataDir}: this data folder is in use by another server; stop it, or choose another folder`,
    )
    await expect(openCluster({ dataDir })).rejects.toThrow('in use by another server')
  })

  test('whose path is too long for a socket has it elsewhere, and takes it away at the end', async () => {
    dataDir = join(parent, 'd'.repeat(90))
    const { config, stop } = await open()
    expect(config.host).toMatch(/dendrolog-[0-9a-f]{24}$/)
    expect(await modeOf(config.host as string)).toBe('700')
    await stop()
    expect(existsSync(config.host as string)).toBe(false)
  })

  test('whose start is aborted leaves nothing running and the folder free', async () => {
    const reason = new Error('enough')
    await expect(openCluster({ dataDir }, AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(false)
    expect((await open()).startedAs).toBe('created')
  })

  test('without its password file is refused', async () => {
    await (await open()).stop()
    await rm(join(dataDir, 'keys', 'pg-admin-password'))
    await expect(open()).rejects.toThrow(`has a cluster but not its password ${dataDir}/keys/pg-admin-password`)
  })

  test('of a version that is not here is refused and left as it is', async () => {
    await mkdir(join(dataDir, 'pg'), { recursive: true })
    await writeFile(join(dataDir, 'pg', 'PG_VERSION'), '13\n')
    if (isRoot) await chown(join(dataDir, 'pg'), nobody.uid, nobody.gid)
    await expect(open()).rejects.toThrow(`${dataDir}/pg: was made by PostgreSQL 13, and a cluster needs its own major`)
    expect(await readdir(join(dataDir, 'pg'))).toEqual(['PG_VERSION'])
  })

  test('is not made of a folder that has other files', async () => {
    await mkdir(join(dataDir, 'pg'), { recursive: true })
    await writeFile(join(dataDir, 'pg', 'note'), 'mine')
    if (isRoot) await chown(join(dataDir, 'pg'), nobody.uid, nobody.gid)
    await expect(open()).rejects.toThrow('has files but no PG_VERSION')
    expect(await readFile(join(dataDir, 'pg', 'note'), 'utf8')).toBe('mine')
  })

  test('is not made by programs that are not PostgreSQL, or of a path that a shell would read', async () => {
    await expect(open('/usr/bin')).rejects.toThrow('Tried: /usr/bin: initdb does not run')
    await expect(openCluster({ dataDir: '/tmp/$(id)' })).rejects.toThrow("a data folder's path may not have")
  })

  test.skipIf(systemMajor === undefined)(
    'made by the system’s PostgreSQL is later started by it, unasked',
    async () => {
      const first = await open(`/usr/lib/postgresql/${systemMajor}/bin`)
      await first.stop()
      const second = await open()
      expect(second.version).toBe(first.version)
      expect(second.version).toContain(`(PostgreSQL) ${systemMajor}`)
    },
  )
})

describe.runIf(isRoot)('a cluster of root', () => {
  test('below a folder that is root’s alone runs with the one capability it needs', async () => {
    await chmod(parent, 0o700)
    const { config } = await open()
    const status = await readFile(`/proc/${await postmasterPid()}/status`, 'utf8')
    // CAP_DAC_READ_SEARCH is number 2.
    expect(/^CapEff:\s*(\w+)$/m.exec(status)?.[1]).toBe('0000000000000004')
    expect(/^Uid:\s*(\d+)/m.exec(status)?.[1]).not.toBe('0')
    expect(await query(config, 'select 1')).toEqual([1])
  })

  test('below such a folder, without that capability, is refused with the folder and the setting', async () => {
    await chmod(parent, 0o700)
    const { answer } = await openProcess(program, dataDir, {}, ['setpriv', '--bounding-set=-dac_read_search'])
    expect(answer.error).toContain(`${dataDir}: the user `)
    expect(answer.error).toContain('set DENDROLOG_DATA_DIR')
  })

  test('elsewhere runs without capabilities, of a copy where the programs are root’s alone', async () => {
    const hidden = join(programs, 'hidden')
    await mkdir(hidden, { mode: 0o700 })
    await copyClusterProgram(program, join(hidden, 'main'))
    const { answer } = await openProcess(join(hidden, 'main'), dataDir)
    expect(answer).toMatchObject({ startedAs: 'created' })
    expect(await readdir(join(dataDir, 'pgbin'))).toHaveLength(1)
    const status = await readFile(`/proc/${await postmasterPid()}/status`, 'utf8')
    expect(/^CapEff:\s*(\w+)$/m.exec(status)?.[1]).toBe('0000000000000000')
  })

  test('may belong to another user, who starts it without root and cannot write the programs', async () => {
    await chown(parent, nobody.uid, nobody.gid)
    await copyClusterProgram(program, join(programs, 'readonly'))
    const first = await openProcess(join(programs, 'readonly'), dataDir, nobody)
    expect(first.answer).toMatchObject({ startedAs: 'created' })
    expect(await readdir(join(dataDir, 'pgbin'))).toHaveLength(1)
    await first.stop()
    started.splice(0)
    // Root then keeps to that user.
    const second = await open()
    expect(second.startedAs).toBe('started')
    expect((await stat(`/proc/${await postmasterPid()}`)).uid).toBe(nobody.uid)
  })
})
