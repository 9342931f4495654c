import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { IncidentFinding } from '../../src/incident/finding.ts'
import { placeOf } from '../../src/incident/snapshot/place.ts'
import { type SnapshotOptions, takeSnapshot } from '../../src/incident/snapshot.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { tamper } from '../support/audit.ts'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, origin, schema, submit, type TestLog, until } from '../support/log.ts'

let log: TestLog
let parent: string
let folder: string
beforeEach(async () => {
  log = await createTestLog()
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-snapshot-'))
  folder = await makeIncident('1')
})
afterEach(async () => {
  await log.drop()
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

async function makeIncident(id: string): Promise<string> {
  const made = join(parent, 'forensics', id)
  await mkdir(made, { recursive: true })
  return made
}

const never = new AbortController().signal
const finding: IncidentFinding = {
  violationType: 'PAYLOAD_CORRUPT',
  sequenceNumber: 4,
  detail: 'entry 4: payload altered',
  evidence: { sequenceNumber: 4, lastSequenceNumber: 4 },
}

/** Entries 1 to 9 under checkpoints. */
async function fill(): Promise<void> {
  const running = await log.start()
  const records = Array.from({ length: 9 }, (_, i) => ({
    ...{ actorId: 'a', action: 'b', resource: 'c' },
    payload: { secret: `number ${i + 1}` },
  }))
  await submit(running.log, records)
  await until(
    () => running.log.health.publishedSize === 9,
    () => 'not published',
  )
  await running.stop()
}

function optionsOf(options: Partial<SnapshotOptions> = {}): SnapshotOptions {
  const reader = (): ReturnType<typeof openReadSession> => openReadSession(log.database.as('auditor_reader_role'))
  return {
    evidence: {
      ...{ origin, schema, names: { schema: 'security', prefix: '' }, openReader: reader, openCatalog: reader },
      ...{ readMemory: () => log.cell.read(), nowMs: Date.now },
    },
    ...{ takeBackup: undefined, command: undefined },
    ...options,
  }
}

const take = (options: Partial<SnapshotOptions> = {}, signal = never, of = finding): Promise<string> =>
  takeSnapshot(optionsOf(options)).carryOut({ id: '1', finding: of }, folder, signal)

type Manifest = {
  readonly files: readonly { file: string; bytes: number; sha256: string; at: string; what: string; lines: number }[]
  readonly missing: readonly { part: string; reason: string }[]
}

async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'export', 'manifest.json'), 'utf8')) as Manifest
}

type Line = { readonly text: string; readonly xmin: string; readonly row: Readonly<Record<string, unknown>> }

async function lines(name: string): Promise<readonly Line[]> {
  const text = await readFile(join(folder, 'export', `${name}.jsonl`), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

async function rowsOf(name: string): Promise<readonly Line['row'][]> {
  return (await lines(name)).map(({ row }) => row)
}

test('rows are kept as they are stored, with what no writer wrote, and all files are in the manifest', async () => {
  await fill()
  await tamper(
    log.database,
    `alter table security.audit_logs alter column payload drop not null, alter column lamport type text using 'six';
     update security.audit_logs set payload = null where sequence_number = 3;
     update security.audit_logs set payload = '{"secret": "altered"}' where sequence_number = 4;
     update security.audit_logs set payload = 'null' where sequence_number = 5;
     delete from security.audit_logs where sequence_number = 7`,
  )
  expect(await take()).toMatch(/^export: \d+ files, \d+ bytes, in .*; base backup: none, since the database is not/)

  expect((await rowsOf('audit-logs-before')).map((row) => row.sequence_number)).toEqual([3, 2, 1])
  const from = await lines('audit-logs-from')
  expect(from.map(({ row }) => row.sequence_number)).toEqual([4, 5, 6, 8, 9])
  expect(from[0]).toMatchObject({
    table: 'security.audit_logs_p0000000000000001',
    ctid: expect.stringMatching(/^\(\d+,\d+\)$/),
    row: { payload: { secret: 'altered' }, lamport: 'six', leaf_hash: expect.stringMatching(/^\\x[0-9a-f]{64}$/) },
    text: expect.stringContaining('altered'),
  })
  // NULL and JSON's null: told apart by the text alone.
  const [three] = await lines('audit-logs-before')
  expect([three?.row.payload, from[1]?.row.payload]).toEqual([null, null])
  expect(three?.text).not.toContain(',null,')
  expect(from[1]?.text).toContain(',null,')
  expect((await lines('entry-ids')).length).toBe(8)

  const notes = (await rowsOf('checkpoints-newest')).map((row) => String(row.note).split('\n')[1])
  expect([notes[0], notes.at(-1)]).toEqual(['9', '0'])
  expect((await rowsOf('tree-heads-newest')).map((row) => row.tree_size)).toContain(9)
  expect(await rowsOf('cosignatures-newest')).toEqual([])

  const manifest = await readManifest()
  expect(manifest.missing).toEqual([])
  const names = await readdir(join(folder, 'export'))
  expect(manifest.files.map(({ file }) => file).sort()).toEqual(names.filter((each) => each !== 'manifest.json').sort())
  for (const { file, bytes, sha256 } of manifest.files) {
    const content = await readFile(join(folder, 'export', file))
    expect([file, content.length, createHash('sha256').update(content).digest('hex')]).toEqual([file, bytes, sha256])
    expect([file, (await stat(join(folder, 'export', file))).mode % 0o1000]).toEqual([file, 0o600])
  }
})

test('the finding, the signer’s memory, and what the server says of itself are kept', async () => {
  await fill()
  await asSuperuser(log.database, (client) =>
    client.query(`do $$ begin
        execute format('alter event trigger %I disable', (select min(evtname) from pg_event_trigger));
      end $$`),
  )
  await take()
  const json = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, 'export', `${name}.json`), 'utf8'))
  expect(await json('finding')).toEqual({ id: '1', finding })
  expect(await json('signer-memory')).toMatchObject({ treeSize: 9 })
  expect(JSON.stringify(await json('schema'))).toContain('trigger refuse_change')
  const plain = async (name: string): Promise<readonly unknown[]> => lines(name)
  expect(await plain('sessions')).toContainEqual(
    expect.objectContaining({ usename: 'auditor_reader_role', application_name: 'dendrolog verify' }),
  )
  expect(await plain('roles')).toContainEqual(
    expect.objectContaining({ rolname: 'app_writer_role', rolcanlogin: true, rolsuper: false }),
  )
  expect(await plain('triggers')).toContainEqual(expect.objectContaining({ tgname: 'refuse_change', tgenabled: 'A' }))
  expect((await plain('table-statistics')).length).toBeGreaterThan(10)
  expect(await plain('event-triggers')).toContainEqual(expect.objectContaining({ evtenabled: 'D' }))
  expect(await plain('server')).toHaveLength(1)
})

test('who was connected before anything was done is kept apart', async () => {
  const measure = takeSnapshot(optionsOf())
  const [incident, ended] = [{ id: '1', finding }, await openReadSession(log.database.as('app_writer_role'))]
  await measure.begin?.(incident, never)
  await ended.close()
  await measure.carryOut(incident, folder, never)
  const before: readonly unknown[] = await lines('sessions-before')
  expect(before).toContainEqual(expect.objectContaining({ usename: 'app_writer_role' }))
})

test('what cannot be read is named, and the rest is kept', async () => {
  await fill()
  await tamper(log.database, 'alter table security.audit_logs rename to hidden')
  const unreadable = { ...optionsOf().evidence, readMemory: () => Promise.reject(new Error('no disk')) }
  await expect(take({ evidence: unreadable })).rejects.toThrow(
    /^export: \d+ files.*missing in it: signer-memory \(no disk\), audit-logs-before \(relation .* does not exist\)/,
  )
  const { missing } = await readManifest()
  expect(missing.map(({ part }) => part)).toEqual([
    'signer-memory',
    ...['audit-logs-before', 'audit-logs-from', 'audit-logs-newest', 'entry-ids'],
  ])
  expect((await rowsOf('checkpoints-newest')).length).toBeGreaterThan(0)
  expect(await readdir(join(folder, 'export'))).not.toContain('signer-memory.json')
})

test('rows before one that cannot be read at all are kept', async () => {
  await fill()
  await tamper(
    log.database,
    `create type security.mood as enum ('good', 'bad');
     alter table security.audit_logs alter column source_position type security.mood
       using (case when sequence_number = 6 then 'bad' else 'good' end)::security.mood;
     set allow_system_table_mods = on;
     delete from pg_enum where enumlabel = 'bad'`,
  )
  await expect(take()).rejects.toThrow(/missing in it: audit-logs-from \(invalid internal value for enum/)
  expect((await rowsOf('audit-logs-from')).map((row) => row.sequence_number)).toEqual([4, 5])
  expect((await rowsOf('audit-logs-before')).length).toBe(3)
  const { files, missing } = await readManifest()
  expect(files.find(({ file }) => file === 'audit-logs-from.jsonl')).toMatchObject({ lines: 2, isCut: true })
  expect(missing.map(({ part }) => part)).toEqual(['audit-logs-from', 'audit-logs-newest'])
})

test('a database that is away is told, with what is kept without it', async () => {
  const away = (): Promise<never> => Promise.reject(new Error('no connection'))
  const evidence = { ...optionsOf().evidence, openReader: away, openCatalog: away }
  await expect(take({ evidence })).rejects.toThrow('missing in it: catalog (no connection), evidence (no connection)')
  expect((await readManifest()).files.map(({ file }) => file)).toEqual(['finding.json', 'signer-memory.json'])
})

test('an empty log, and a finding that is nowhere in it', async () => {
  const nowhere = { violationType: 'SIGNER_MEMORY_MISSING', detail: 'gone', evidence: {} }
  await take({}, never, nowhere)
  expect(await rowsOf('audit-logs-newest')).toEqual([])
  expect((await rowsOf('tree-heads-newest')).map((row) => row.tree_size)).toEqual([0])
})

test('a stopped server leaves no half export, also where a statement waits for a lock', async () => {
  await fill()
  const stop = new AbortController()
  const holder = await openReadSession(log.database.admin)
  await holder.query('set default_transaction_read_only = off')
  await holder.query('begin')
  await holder.query('lock table security.tree_heads')
  const taking = take({}, stop.signal)
  const waiting = `select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database() and usename = 'auditor_reader_role'`
  const watcher = await openReadSession(log.database.admin)
  await until(
    async () => (await watcher.query(waiting)).length === 1,
    () => 'nobody waits',
  )
  stop.abort()
  await expect(taking).rejects.toThrow('export failed: the server was stopped; base backup failed: the server was')
  expect(await readdir(folder)).toEqual([])
  await holder.close()
  await watcher.close()
})

const shell = (script: string): { command: [string, ...string[]] } => ({ command: ['/bin/sh', '-c', script] })

test('the command gets incident, finding and folder, and counts as done with status 0', async () => {
  const out = join(parent, 'out')
  expect(await take(shell(`cat > ${out}`))).toMatch(/; command: \/bin\/sh is done$/)
  expect(JSON.parse(await readFile(out, 'utf8'))).toEqual({ incident: '1', origin, folder, finding })
})

test('a command that fails is told, and the rest is done', async () => {
  await expect(take(shell('echo no volume >&2; exit 3'))).rejects.toThrow(
    /^export: \d+ files.*; command failed: the command ended with status 3: no volume$/,
  )
  expect((await readManifest()).files).not.toEqual([])
})

test('a command that hangs is ended when the server stops', async () => {
  const [stop, begun] = [new AbortController(), join(parent, 'begun')]
  const taking = take(shell(`touch ${begun}; sleep 1000`), stop.signal)
  await until(
    () =>
      stat(begun).then(
        () => true,
        () => false,
      ),
    () => 'not begun',
  )
  stop.abort()
  await expect(taking).rejects.toThrow('command failed: the server was stopped')
})

test('base backups are not made again within an hour, nor are there more than three', async () => {
  const made: string[] = []
  const takeBackup = async (path: string): Promise<{ files: number; bytes: number; version: string }> => {
    made.push(path)
    await mkdir(path)
    await writeFile(join(path, 'manifest.json'), '{}')
    return { files: 1, bytes: 2, version: '18' }
  }
  const backUp = async (id: string): Promise<string> => {
    folder = await makeIncident(id)
    return take({ takeBackup })
  }
  const age = (id: string): Promise<void> =>
    utimes(join(parent, 'forensics', id, 'base-backup', 'manifest.json'), 1_000, 1_000)
  expect(await backUp('2')).toContain('base backup: 1 files, 2 bytes, in ')
  expect(await backUp('3')).toContain('base backup: no further one, since that of incident 2 was finished at')
  await age('2')
  await backUp('4')
  await age('4')
  await backUp('5')
  await age('5')
  expect(await backUp('6')).toContain('no further one, since 3 are kept already')
  expect(made.map((path) => path.split('/').at(-2))).toEqual(['2', '4', '5'])
})

test('what a killed server left half is made anew', async () => {
  await mkdir(join(folder, 'export'))
  await writeFile(join(folder, 'export', 'half'), '')
  await take()
  expect(await readdir(join(folder, 'export'))).not.toContain('half')
})

test('the place of a finding is in its evidence', () => {
  const at = (evidence: object, sequenceNumber?: number): unknown =>
    placeOf({ violationType: 'X', detail: '', evidence: { ...evidence }, sequenceNumber })
  const none = { entries: undefined, checkpoint: undefined }
  expect(at({ lastSequenceNumber: 9 }, 4)).toEqual({ ...none, entries: { first: 4, last: 9 } })
  expect(at({ lastSequenceNumber: 3 }, 4)).toEqual({ ...none, entries: { first: 4, last: 4 } })
  expect(at({ level: 1, index: 2, problem: 'altered' })).toEqual({
    ...none,
    entries: { first: 131_073, last: 131_073 },
  })
  expect(at({ treeSize: 7, reason: 'no seal' })).toEqual({ ...none, entries: { first: 7, last: 7 } })
  expect(at({ checkpoint: 3, treeSize: null })).toEqual({ ...none, checkpoint: 3 })
  expect(at({ tooLong: { bytes: 1 } })).toEqual(none)
  expect(at({ treeSize: -1, checkpoint: 1.5, level: 7, index: 2 ** 52 })).toEqual(none)
})
