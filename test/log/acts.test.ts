import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeId } from '../../src/ingest/make-id.ts'
import { ActSums } from '../../src/log/act-sums.ts'
import { type Acts, type ActsOptions, openActs } from '../../src/log/acts.ts'
import { systemClock } from '../../src/log/clock.ts'
import { IncidentRecord } from '../../src/log/incident-record.ts'
import type { Log } from '../../src/log/log.ts'
import { findChanges } from '../../src/log/start-acts.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { insertAct, readOldestActs, type SignedAct } from '../../src/store/acts.ts'
import { entryReads } from '../../src/store/entries.ts'
import { openPool, type Pool, type Query } from '../../src/store/session.ts'
import { type NoteVerifier, textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct, type OwnAct } from '../../tlog/own-act.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { createTestLog, origin, recordsOf, schema, submit, type TestLog, until, untilIncident } from '../support/log.ts'

let home: TestLog
let state: Pool
let admin: Pool
let verifier: NoteVerifier
let stops: (() => Promise<void>)[]
let failures: unknown[]
let dropped: string[]
beforeEach(async () => {
  home = await createTestLog()
  state = openPool(home.database.as('app_state_role'), 2, 10_000)
  admin = openPool(home.database.admin, 1, 10_000)
  verifier = textVerifier(parseVkey(home.keys.vkey), nodeSignatureCheck)
  ;[stops, failures, dropped] = [[], [], []]
})
afterEach(async () => {
  for (const stop of stops) await stop()
  await home.drop()
  await Promise.all([state.close(), admin.close()])
})

/** Acts of a log, with the loop running until `stop`. */
function openRunning(log: Log, options: Partial<ActsOptions> = {}): Acts & { readonly stop: () => Promise<void> } {
  const acts = openActs({
    ...{ query: state.query, schema, makeId, nowMs: Date.now, hash: nativeSha256, verifier },
    ...{
      signer: home.keys.signing.note,
      server: 'server-1',
      settings: [],
      recordsStarts: false,
      sumIntervalMs: 60_000,
    },
    submit: (submissions) => log.submit(submissions),
    isReady: () => log.health.isReady,
    onFailed: (_, error) => failures.push(error),
    onDropped: ({ id }) => dropped.push(id),
    timing: { everyMs: 10 },
    ...options,
  })
  const stopping = new AbortController()
  const running = acts.run(stopping.signal)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await running
  }
  stops.push(stop)
  return { ...acts, stop }
}

/** The log's own acts among its entries, each checked against its signature, without ids and times. */
async function recordedActs(log: Log): Promise<Omit<OwnAct, 'id' | 'occurredAt'>[]> {
  const size = log.health.integratedSize
  if (size === 0) return []
  const entries = await entryReads(log.reader.query, schema).readEntries(1, size)
  return entries
    .filter(({ fields }) => fields.action.startsWith('dendrolog.'))
    .map(({ fields, payloadText }) => {
      expect(fields).toMatchObject({
        writer: `dendrolog:${origin}`,
        clientIp: '::',
        sourcePosition: null,
        lamport: null,
      })
      const entry = { ...fields, id: formatUuid(fields.eventId), payload: JSON.parse(payloadText) as unknown }
      const occurredAt = fields.occurredAt === null ? null : formatMicroseconds(fields.occurredAt)
      const { action, actorId, resource, detail } = checkOwnAct({ ...entry, occurredAt }, verifier)
      return { action, actorId, resource, detail }
    })
}

function untilActs(log: Log, count: number): Promise<void> {
  return until(
    async () => (await recordedActs(log)).length === count,
    () => `want ${count} acts; failures: ${failures.map(String).join(', ')}`,
  )
}

const tokenMade = {
  action: 'dendrolog.token.made',
  actorId: 'token:admin',
  resource: 'token:x',
  detail: { '10': 0.5, a: 'ü' },
}

test('a new log stays empty, through several starts', async () => {
  const { log } = await home.start()
  for (let i = 0; i < 2; i++) {
    const acts = openRunning(log, { settings: [{ name: 'PORT', value: '8080', source: 'default' }] })
    await until(
      async () => (await state.query('select from security_state.settings')).length === 1,
      () => 'no settings',
    )
    await acts.stop()
  }
  expect(log.health.integratedSize).toBe(0)
  const all = await admin.query('select from security.schema_migrations')
  expect(await state.query('select from security_state.told_migrations')).toHaveLength(all.length)
  expect(failures).toEqual([])
})

test('an act in the outbox becomes one entry that its signature is of, and leaves the outbox', async () => {
  const { log } = await home.start()
  const acts = openRunning(log)
  await submit(log, recordsOf(0, 2))
  await insertAct(state.query, schema, await acts.sign(tokenMade))
  await untilActs(log, 1)
  expect(await recordedActs(log)).toEqual([tokenMade])
  await acts.stop()
  expect(await readOldestActs(state.query, schema, 1)).toEqual([])
  expect((await home.check()).size).toBe(3)
})

test('an act whose entry is durable but which is still in the outbox is the same entry, also after a restart', async () => {
  const isDelete = (text: string): boolean => text.startsWith('delete from')
  const deletesFail: Query = (text, values) =>
    isDelete(text) ? Promise.reject(new Error('cut')) : state.query(text, values)
  const first = await home.start()
  const broken = openRunning(first.log, { query: deletesFail })
  await insertAct(state.query, schema, await broken.sign(tokenMade))
  await until(
    () => failures.length > 2,
    () => 'no failures',
  )
  await broken.stop()
  await first.stop()
  const second = await home.start()
  const acts = openRunning(second.log)
  await until(
    async () => (await readOldestActs(state.query, schema, 1)).length === 0,
    () => 'still in the outbox',
  )
  await acts.stop()
  expect(second.log.health.integratedSize).toBe(1)
  expect((await home.check()).size).toBe(1)
})

test('what nobody signed, or somebody altered, does not become an entry and keeps nothing else from it', async () => {
  const { log } = await home.start()
  const acts = openRunning(log, { isReady: () => false })
  const good = await acts.sign(tokenMade)
  const forged: SignedAct = { ...(await acts.sign(tokenMade)), resource: 'token:another' }
  const [unsigned] = await state.query(
    `insert into security_state.acts (id, action, actor, resource, occurred_at, detail, signature)
     values (gen_random_uuid(), 'dendrolog.token.made', 'token:admin', 'token:x', now(), '{}', 'signature') returning id`,
  )
  const [deep, late] = [await acts.sign(tokenMade), await acts.sign(tokenMade)]
  for (const act of [forged, deep, late, good]) await insertAct(state.query, schema, act)
  await admin.query(
    `update security_state.acts set detail = ('{"a":' || repeat('[', 4000) || repeat(']', 4000) || '}')::jsonb where id = $1`,
    [deep.id],
  )
  await admin.query(`update security_state.acts set occurred_at = 'infinity' where id = $1`, [late.id])
  await acts.stop()
  await openRunning(log).stop()
  expect(await recordedActs(log)).toEqual([tokenMade])
  expect(dropped).toEqual([unsigned?.id, forged.id, deep.id, late.id])
  expect(await readOldestActs(state.query, schema, 1)).toEqual([])
})

test('reads and quarantining are summed by identity, and written when the log is about to stop', async () => {
  const { log } = await home.start()
  let nowMs = Date.parse('2026-01-02T03:04:05.006Z')
  const acts = openRunning(log, { nowMs: () => nowMs })
  const noteReads = (identity: string, route: string, times: number): void => {
    for (let i = 0; i < times; i++) acts.noteRead(identity, route)
  }
  noteReads('token:auditor', '/v1/entries/:place', 3)
  nowMs += 2_000
  noteReads('token:auditor', '/v1/entries', 1)
  noteReads('token:siem', '/v1/entries/stream', 1)
  const row = {
    quarantineId: '',
    sourcePosition: null,
    detail: '',
    pointer: null,
    raw: new Uint8Array(),
    rawSha256: new Uint8Array(),
  }
  acts.noteQuarantined([{ ...row, writer: 'token:app', code: 'malformed-json' }])
  await acts.stop()
  const [from, to] = ['2026-01-02T03:04:05.006000Z', '2026-01-02T03:04:07.006000Z']
  expect(await recordedActs(log)).toEqual([
    {
      ...{ action: 'dendrolog.entries.read', actorId: 'token:auditor', resource: 'entries' },
      detail: { from, to, requests: { '/v1/entries/:place': 3, '/v1/entries': 1 } },
    },
    {
      ...{ action: 'dendrolog.entries.read', actorId: 'token:siem', resource: 'entries' },
      detail: { from: to, to, requests: { '/v1/entries/stream': 1 } },
    },
    {
      ...{ action: 'dendrolog.records.quarantined', actorId: 'token:app', resource: 'quarantine' },
      detail: { from: to, to, records: { 'malformed-json': 1 } },
    },
  ])
})

test('sums are written once an interval, not at each read', async () => {
  const { log } = await home.start()
  let nowMs = Date.now()
  const acts = openRunning(log, { nowMs: () => nowMs })
  acts.noteRead('token:auditor', '/v1/entries')
  await insertAct(state.query, schema, await acts.sign(tokenMade))
  await untilActs(log, 1)
  acts.noteRead('token:auditor', '/v1/entries')
  nowMs += 60_000
  await untilActs(log, 2)
  expect((await recordedActs(log))[1]).toMatchObject({ detail: { requests: { '/v1/entries': 2 } } })
})

test('with an interval of 0 nothing is summed; starts and stops are recorded where that is set', async () => {
  const { log } = await home.start()
  const acts = openRunning(log, { sumIntervalMs: 0, recordsStarts: true })
  acts.noteRead('token:auditor', '/v1/entries')
  await acts.stop()
  expect((await recordedActs(log)).map(({ action }) => action)).toEqual([
    'dendrolog.server.started',
    'dendrolog.server.stopped',
  ])
})

test('identities beyond 1,000 count together', () => {
  const sums = new ActSums(() => 0)
  for (let i = 0; i < 1_010; i++) sums.noteRead(`token:t${i}`, '/v1/entries')
  const taken = sums.take()
  expect(taken).toHaveLength(1_001)
  expect(taken.at(-1)).toMatchObject({ actorId: 'others', detail: { requests: { '/v1/entries': 10 } } })
  expect(sums.take()).toEqual([])
})

test('many acts are recorded at once, in their order', async () => {
  const { log } = await home.start()
  const acts = openRunning(log)
  for (let i = 0; i < 300; i++) acts.noteRead(`token:t${i}`, '/v1/entries')
  await acts.stop()
  expect((await recordedActs(log)).map(({ actorId }) => actorId)).toEqual(
    Array.from({ length: 300 }, (_, i) => `token:t${i}`),
  )
})

test('what cannot be recorded now is recorded later, and the log takes entries meanwhile', async () => {
  const { log } = await home.start()
  let isAway = true
  const query: Query = (text, values) => (isAway ? Promise.reject(new Error('away')) : state.query(text, values))
  const acts = openRunning(log, { query, sumIntervalMs: 1 })
  acts.noteRead('token:auditor', '/v1/entries')
  await until(
    () => failures.length > 3,
    () => 'no failures',
  )
  await submit(log, recordsOf(0, 5))
  isAway = false
  await untilActs(log, 1)
  expect(log.health.integratedSize).toBe(6)
})

test('where the log takes nothing, acts are kept in the outbox for the next start', async () => {
  const first = await home.start()
  const acts = openRunning(first.log, { isReady: () => false })
  acts.noteRead('token:auditor', '/v1/entries')
  await acts.stop()
  acts.noteRead('token:auditor', '/v1/entries/:place')
  await first.stop()
  await acts.close()
  expect(await readOldestActs(state.query, schema, 10)).toHaveLength(2)
  const second = await home.start()
  openRunning(second.log)
  await untilActs(second.log, 2)
})

test('stopping does not wait for a database that hangs', async () => {
  const { log } = await home.start()
  const acts = openRunning(log, { query: () => new Promise(() => {}), timing: { everyMs: 10, lastMs: 50 } })
  await acts.stop()
  expect(failures.map(String)).toEqual([expect.stringContaining('no answer within 50 ms')])
})

test('an incident is told once for its code and checkpoint, when the log works again', async () => {
  const recording = new IncidentRecord(state.query, schema, {
    onNoted: () => {},
    onFailed: (error) => failures.push(error),
  })
  const stopRecord = new AbortController()
  const writing = recording.run(stopRecord.signal)
  let offset = 0
  const running = await home.start({
    clock: () => systemClock() + offset,
    onIncident: (error, place) => recording.note(error, place),
  })
  const { log } = running
  const acts = openRunning(log)
  await submit(log, recordsOf(0, 3))
  await log.waitForCheckpoint(3)
  offset = 3_600_000_000
  await untilIncident(running, 'CLOCK_SKEW')
  const isWritten = async (): Promise<boolean> => (await state.query('select from security_state.incidents')).length > 0
  await until(isWritten, () => 'no incident')
  expect(await state.query('select told_at from security_state.incidents')).toEqual([{ told_at: null }])
  offset = 0
  await untilActs(log, 1)
  expect(await recordedActs(log)).toMatchObject([
    {
      ...{ action: 'dendrolog.incident', actorId: 'dendrolog', resource: 'incident:CLOCK_SKEW' },
      detail: { code: 'CLOCK_SKEW', publishedSize: 3, detail: expect.stringContaining('clocks differ') as string },
    },
  ])
  stopRecord.abort()
  await writing
  await acts.stop()
  expect(await recordedActs(log)).toHaveLength(1)
})

test('a migration of a log that exists is told once, with its file and hash', async () => {
  const { log } = await home.start()
  await openRunning(log).stop()
  await admin.query(
    `insert into security.schema_migrations (version, name, sha256) values (9999, 'later', decode(repeat('ab', 32), 'hex'))`,
  )
  for (let i = 0; i < 2; i++) await openRunning(log).stop()
  expect(await recordedActs(log)).toMatchObject([
    {
      ...{ action: 'dendrolog.migration.applied', actorId: 'dendrolog', resource: 'migration:9999_later' },
      detail: { version: 9999, name: 'later', sha256: 'ab'.repeat(32) },
    },
  ])
})

test('settings that are not what they were at the last start of the same server are told, old and new', async () => {
  const { log } = await home.start()
  const port = (value: string) => ({ name: 'PORT', value, source: 'environment' as const })
  await openRunning(log, { settings: [port('1')] }).stop()
  await openRunning(log, { settings: [port('2')], server: 'server-2' }).stop()
  await openRunning(log, { settings: [port('3')] }).stop()
  await openRunning(log, { settings: [port('3')] }).stop()
  expect(await recordedActs(log)).toEqual([
    {
      ...{ action: 'dendrolog.settings.changed', actorId: 'dendrolog', resource: 'server:server-1' },
      detail: { changes: [{ name: 'PORT', from: '1', to: '3' }] },
    },
  ])
})

test('a setting that a new version has is a change only where it is set; one that is gone is a change', () => {
  expect(
    findChanges({ GONE: '1', SAME: 's' }, [
      { name: 'SAME', value: 's', source: 'default' },
      { name: 'NEW', value: 'n', source: 'default' },
      { name: 'SET', value: 'x', source: 'environment' },
    ]),
  ).toEqual([
    { name: 'SET', from: null, to: 'x' },
    { name: 'GONE', from: '1', to: null },
  ])
})
