import { createHash } from 'node:crypto'
import {
  chmod,
  chown,
  cp,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { segmentsBetween } from '../../src/store/base-backup/wal.ts'
import { type BaseBackup, type BaseBackupOptions, readFreeBytes, takeBaseBackup } from '../../src/store/base-backup.ts'
import { type Cluster, openCluster } from '../../src/store/embedded.ts'
import { until } from '../support/log.ts'

// Copies of a cluster that runs and is written to, and real servers that start from them.

let parent: string
let dataDir: string
let cluster: Cluster
let folder: string
let count = 0

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-backup-'))
  await chmod(parent, 0o755)
  dataDir = join(parent, 'data')
  cluster = await openCluster({ dataDir, binDir: process.env.TEST_PG_BIN })
  await query(cluster.config, 'create table ring as select n from generate_series(1, 100000) as n')
})
afterAll(async () => {
  await cluster.stop()
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})
beforeEach(() => {
  folder = join(parent, `backup-${++count}`)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const never = new AbortController().signal

function take(options: Partial<BaseBackupOptions> = {}, signal = never): Promise<BaseBackup> {
  const { config: admin } = cluster
  const base = { admin, pg: join(dataDir, 'pg'), folder, label: 'test', freeBytes: readFreeBytes, nowMs: Date.now }
  return takeBaseBackup({ ...base, ...options }, signal)
}

async function connect(config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  client.on('error', () => {})
  await client.connect()
  return client
}

async function query(config: ClientConfig, sql: string): Promise<readonly unknown[]> {
  const client = await connect(config)
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

/** A server of a copy of the backup: starting changes what it starts from. */
async function fromBackup<T>(work: (config: ClientConfig) => Promise<T>): Promise<T> {
  const other = join(parent, `other-${count}`)
  await mkdir(join(other, 'keys'), { recursive: true })
  await cp(join(folder, 'pg'), join(other, 'pg'), { recursive: true, verbatimSymlinks: true })
  await cp(join(dataDir, 'keys', 'pg-admin-password'), join(other, 'keys', 'pg-admin-password'))
  const { uid, gid } = await stat(join(dataDir, 'pg'))
  for (const root of [join(other, 'pg'), folder]) await give(root, uid, gid)
  const started = await openCluster({ dataDir: other, binDir: process.env.TEST_PG_BIN })
  try {
    expect(started.startedAs).toBe('started')
    return await work(started.config)
  } finally {
    await started.stop()
    await rm(other, { recursive: true, force: true })
  }
}

async function give(root: string, uid: number, gid: number): Promise<void> {
  await chown(root, uid, gid)
  const names = await readdir(root, { recursive: true })
  for (const name of names) await lchown(join(root, name), uid, gid)
}

type Manifest = {
  readonly files: readonly { file: string; bytes: number; sha256: string }[]
  readonly notCopied: readonly string[]
  readonly firstSegment: string
}

async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as Manifest
}

/** More than is copied without a look at the disk. */
async function makeLarge(): Promise<void> {
  const rows = `select repeat(md5(n::text), 50) as text from generate_series(1, 60000) as n`
  await query(cluster.config, `create table large as ${rows}`)
}

test('a server starts from it, with all that was committed before, and whole transactions of what came meanwhile', async () => {
  const stop = new AbortController()
  const writing = (async () => {
    const client = await connect(cluster.config)
    await client.query('create table pair (n integer)')
    for (let n = 0; !stop.signal.aborted; n++) {
      await client.query('insert into pair select $1 from generate_series(1, 2)', [n])
      // What a checkpoint writes while files are copied is torn without the WAL.
      if (n % 50 === 0) await client.query('update ring set n = n; checkpoint')
    }
    await client.end()
  })()
  await until(
    async () => (await query(cluster.config, `select to_regclass('pair') is not null`))[0] === true,
    () => 'nothing written',
  )
  await query(cluster.config, 'create table before as select 7 as n')
  const backup = await take()
  stop.abort()
  await writing
  expect(backup.files).toBeGreaterThan(500)
  await fromBackup(async (config) => {
    expect(await query(config, 'select n from before')).toEqual([7])
    expect(await query(config, 'select count(*)::integer, sum(n)::text from ring')).toEqual([100_000, '5000050000'])
    expect(await query(config, 'select n from pair group by n having count(*) <> 2')).toEqual([])
  })
  expect(await query(cluster.config, 'select count(*)::integer from pg_replication_slots')).toEqual([0])
})

test('the manifest has each file with its hash, and only the owner may read them', async () => {
  const { files, bytes } = await take()
  const manifest = await readManifest()
  expect([manifest.files.length, manifest.files.reduce((sum, each) => sum + each.bytes, 0)]).toEqual([files, bytes])
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((each) => each.isFile())
  expect(names.length).toBe(files + 1)
  for (const { file, sha256 } of manifest.files) {
    const path = join(folder, file)
    const hash = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
    expect([file, hash, (await stat(path)).mode % 0o1000]).toEqual([file, sha256, 0o600])
  }
  const listed = manifest.files.map(({ file }) => file)
  expect(listed).toContain('pg/backup_label')
  expect(listed).toContain(`pg/pg_wal/${manifest.firstSegment}`)
  expect(listed.filter((each) => /postmaster|pg_replslot\/|pg_internal/.test(each))).toEqual([])
})

test('a tablespace is copied, and the started copy uses that and not the one of the running server', async () => {
  const place = join(parent, 'elsewhere')
  await mkdir(place)
  const { uid, gid } = await stat(join(dataDir, 'pg'))
  await chown(place, uid, gid)
  await query(cluster.config, `create tablespace elsewhere location '${place}'`)
  try {
    await query(cluster.config, 'create table far tablespace elsewhere as select 5 as n')
    await take()
    // Written later: the copy must not see it.
    await query(cluster.config, 'update far set n = 6')
    await query(cluster.config, 'checkpoint')
    await fromBackup(async (config) => {
      expect(await query(config, 'select n from far')).toEqual([5])
      const [location] = await query(
        config,
        `select pg_tablespace_location(oid) from pg_tablespace where spcname = 'elsewhere'`,
      )
      expect(location).toMatch(new RegExp(`^${folder}/tablespaces/\\d+$`))
    })
    expect(await query(cluster.config, 'select n from far')).toEqual([6])
  } finally {
    await query(cluster.config, 'drop table if exists far')
    await query(cluster.config, 'drop tablespace elsewhere')
  }
})

test('links that lead out of the cluster are not followed', async () => {
  const [file, tablespace] = [join(dataDir, 'pg', 'base', 'link'), join(dataDir, 'pg', 'pg_tblspc', '99')]
  await writeFile(join(parent, 'secret'), 'secret')
  await symlink(join(parent, 'secret'), file)
  await symlink(parent, tablespace)
  try {
    await take()
    const { notCopied, files } = await readManifest()
    expect(notCopied).toEqual(['pg/base/link'])
    expect(files.filter(({ file }) => file.includes('secret') || file.startsWith('tablespaces'))).toEqual([])
  } finally {
    await Promise.all([rm(file), rm(tablespace)])
  }
})

test('a disk without room is left alone', async () => {
  const freeBytes = async (): Promise<number> => 1_100_000_000
  await expect(take({ freeBytes })).rejects.toThrow(
    /^the disk has 1050 MiB left, a copy of \d+ MiB and a reserve need \d+$/,
  )
  await expect(stat(folder)).rejects.toThrow('ENOENT')
})

test('a disk that fills up meanwhile ends it, and nothing is left', async () => {
  await makeLarge()
  let asked = 0
  const freeBytes = async (): Promise<number> => (asked++ === 0 ? 1e12 : 1_000_000)
  await expect(take({ freeBytes })).rejects.toThrow(/^the disk has less than 1024 MiB left after \d+ MiB were copied$/)
  await expect(stat(folder)).rejects.toThrow('ENOENT')
  await query(cluster.config, 'drop table large')
})

test('WAL that is gone when the files are copied is named, and nothing is left', async () => {
  await makeLarge()
  let asked = 0
  let moved = ''
  // The second time files are copied: the segment with which the backup begins goes, and the server does not need it.
  const freeBytes = async (): Promise<number> => {
    if (asked++ === 1) {
      const [name] = await query(cluster.config, `select pg_walfile_name(pg_current_wal_insert_lsn())`)
      await query(cluster.config, `select pg_switch_wal()`)
      await query(cluster.config, 'checkpoint')
      moved = String(name)
      await rename(join(dataDir, 'pg', 'pg_wal', moved), join(parent, moved))
    }
    return 1e12
  }
  try {
    await expect(take({ freeBytes })).rejects.toThrow(
      /^the WAL segment [0-9A-F]{24}, which a start needs, is not there/,
    )
    await expect(stat(folder)).rejects.toThrow('ENOENT')
  } finally {
    if (moved !== '') await rename(join(parent, moved), join(dataDir, 'pg', 'pg_wal', moved))
    await query(cluster.config, 'drop table large')
  }
})

test('a stopped server leaves nothing of it, and the database is in no backup', async () => {
  const stop = new AbortController()
  const taking = take({}, stop.signal)
  taking.catch(() => {})
  await until(
    async () => (await readdir(join(folder, 'pg')).catch(() => [])).length > 3,
    () => 'not begun',
  )
  stop.abort()
  await expect(taking).rejects.toThrow('aborted')
  await expect(stat(folder)).rejects.toThrow('ENOENT')
  await until(
    async () => (await query(cluster.config, 'select count(*)::integer from pg_replication_slots'))[0] === 0,
    () => 'the session is still there',
  )
})

test('the files of another server, and a login that may not, are refused', async () => {
  await expect(take({ pg: parent })).rejects.toThrow("the server's files are in")
  await query(cluster.config, `create role visitor login password 'visitor'`)
  await expect(take({ admin: { ...cluster.config, user: 'visitor', password: 'visitor' } })).rejects.toThrow(
    /permission denied|must be superuser/,
  )
  await expect(stat(folder)).rejects.toThrow('ENOENT')
})

test('segments are counted over the end of a step of 4 GiB', () => {
  const segment = 16_777_216
  expect(segmentsBetween('0000000100000002000000FE', '000000010000000300000001', segment)).toEqual([
    ...['0000000100000002000000FE', '0000000100000002000000FF', '000000010000000300000000', '000000010000000300000001'],
  ])
  expect(segmentsBetween('000000010000000200000003', '000000010000000300000000', 1_073_741_824)).toHaveLength(2)
  expect(() => segmentsBetween('000000010000000200000003', '000000020000000200000003', segment)).toThrow('no range')
  expect(() => segmentsBetween('000000010000000200000003', '000000010000000200000002', segment)).toThrow('no range')
})
