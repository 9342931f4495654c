import { cp, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { emptyState, formatState, type KnownFinding, parseState } from '../../src/audit/verifier-state.ts'
import { IncidentOffice } from '../../src/incident/incident-office.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import { writeLogFile } from '../../src/log/log-file.ts'
import { createSignAct, entryOfAct } from '../../src/log/own-act-entry.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { readOldestActs } from '../../src/store/acts.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct } from '../../tlog/own-act.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { createTestLog, origin, schema, type TestLog } from '../support/log.ts'
import { openReceiver } from '../support/receiver.ts'
import { environmentOf } from '../support/servers.ts'
import { type Environment, type Finished, makeFolder, removeFolder, run } from './binary.ts'

// The real program on the data folder of a log, with the login that keeps state.

let home: TestLog
let state: Pool
let office: IncidentOffice
let folder = ''
let environment: Environment
beforeAll(async () => {
  home = await createTestLog()
  folder = await makeFolder()
  await cp(home.folder, join(folder, 'data', 'keys'), { recursive: true })
  await writeLogFile(join(folder, 'data'), { origin, state: 'ready' })
  environment = { ...environmentOf(home.database), DENDROLOG_DATA_DIR: join(folder, 'data') }
  state = openPool(home.database.as('app_state_role'), 2, 10_000)
  office = new IncidentOffice({
    ...{ query: state.query, schema, hooks: ['webhook'], nowMs: Date.now, makeId: () => formatUuid(makeId()) },
    signAct: createSignAct({ signer: home.keys.signing.note, makeId, nowMs: Date.now, hash: nativeSha256 }),
  })
})
afterAll(async () => {
  await state.close()
  await home.drop()
  await removeFolder(folder)
})

const incident = (...args: readonly string[]): Promise<Finished> => run(['incident', ...args], environment)

const finding = {
  violationType: 'PAYLOAD_CORRUPT',
  sequenceNumber: 7,
  // Text of whoever changed the row may be in it.
  detail: 'row 7 \u001b[2J',
  evidence: { stored: 'aa' },
}

test('incidents are listed, shown and closed, and a signed act says by whom', async () => {
  expect(await incident('list')).toEqual({ status: 0, stdout: 'no open incidents\n', stderr: '' })
  const { id } = await office.open(finding, 'dendrolog')
  await office.open(finding, 'dendrolog')
  const listed = await incident('list')
  expect(listed.stdout.split('\n')[1]).toMatch(new RegExp(`^${id}  PAYLOAD_CORRUPT  7 +2 +20[^ ]+Z  20[^ ]+Z  open$`))
  const shown = await incident('show', id)
  expect(shown.stdout).toContain('violation PAYLOAD_CORRUPT at sequence number 7\ndetail    row 7 \\u001b[2J\n')
  expect(shown.stdout).toContain('told      webhook, that it was opened: pending after 0 attempts\n')
  const by = `local:${userInfo().username}`
  const closed = await incident('close', id.toUpperCase(), '--reason', 'restored', '--json')
  expect([closed.status, JSON.parse(closed.stdout)]).toMatchObject([
    0,
    { incident: { id, state: 'closed', count: 2, closedBy: by, closeReason: 'restored', evidence: { stored: 'aa' } } },
  ])
  expect((await incident('list', '--json')).stdout).toBe('{"incidents":[]}\n')
  expect(JSON.parse((await incident('list', '--all', '--json')).stdout)).toMatchObject({ incidents: [{ id }] })
  const verifier = textVerifier(parseVkey(home.keys.vkey), nodeSignatureCheck)
  const acts = (await readOldestActs(state.query, schema, 10)).map((act) => checkOwnAct(entryOfAct(act), verifier))
  expect(acts.map(({ action, actorId }) => [action, actorId])).toEqual([
    ['dendrolog.incident.open', 'dendrolog'],
    ['dendrolog.incident.close', by],
  ])
  const told = JSON.parse((await incident('show', id, '--json')).stdout) as { alarms: { news: string; hook: string }[] }
  expect(told.alarms.map(({ news, hook }) => [news, hook])).toEqual([
    ['opened', 'webhook'],
    ['closed', 'webhook'],
  ])
})

test('dead letters are listed with their error, and tried again', async () => {
  expect((await incident('dead-letters')).stdout).toBe('no dead letters\n')
  const { id } = await office.open({ ...finding, sequenceNumber: 8 }, 'dendrolog')
  await state.query(
    `update security_state.alarms set dead_at = now(), attempts = 20, last_error = 'status 500' where incident = $1`,
    [id],
  )
  const dead = await incident('dead-letters')
  expect(dead.stdout).toMatch(new RegExp(`${id}  webhook  opened  20 .*Z  status 500\n$`))
  const { alarms } = JSON.parse((await incident('dead-letters', '--json')).stdout) as { alarms: { id: string }[] }
  expect(alarms).toMatchObject([{ incident: id, hook: 'webhook', attempts: 20, state: 'dead' }])
  expect((await incident('retry', alarms[0]?.id ?? '', '--json')).stdout).toBe('{"retried":1}\n')
  expect((await incident('retry', '--all', '--json')).stdout).toBe('{"retried":0}\n')
})

test('an id of nothing is status 2, with a code', async () => {
  const missing = await incident('close', '01893f9c-3488-7000-8000-000000000001', '--reason', 'x', '--json')
  expect([missing.status, JSON.parse(missing.stdout)]).toMatchObject([2, { code: 'no-such-incident' }])
})

test('without the folder of a log it is status 2', async () => {
  const none = await run(['incident', 'list'], { ...environment, DENDROLOG_DATA_DIR: join(folder, 'none') })
  expect(none).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('holds no log') })
})

test('the verifier forgets what a closed incident was about, and nothing else', async () => {
  const path = join(folder, 'data', 'verifier-state')
  const found = (sequenceNumber: number | null, key: string): KnownFinding => ({
    ...{ key, violationType: 'LEAF_MISMATCH', sequenceNumber, detail: 'found', firstSeenMs: 1 },
  })
  const findings = [
    found(11, 'LEAF_MISMATCH entry 11'),
    found(12, 'LEAF_MISMATCH entry 12'),
    found(null, 'LEAF_MISMATCH x'),
  ]
  await writeFile(path, formatState({ ...emptyState, findings }, origin, home.keys.sealKey), { mode: 0o600 })
  const { id } = await office.open({ ...finding, violationType: 'LEAF_MISMATCH', sequenceNumber: 11 }, 'dendrolog')
  expect((await incident('close', id, '--reason', 'restored')).status).toBe(0)
  const left = parseState(await readFile(path, 'utf8'), origin, home.keys.sealKey)
  expect(left.findings.map(({ key }) => key)).toEqual(['LEAF_MISMATCH entry 12', 'LEAF_MISMATCH x'])

  await writeFile(path, 'not what a verifier wrote')
  const { id: other } = await office.open({ ...finding, sequenceNumber: 12 }, 'dendrolog')
  const closed = await incident('close', other, '--reason', 'restored')
  expect(closed.status).toBe(0)
  expect(closed.stderr).toContain('the verifier was not told')
})

test('hooks are tried without an incident: each is told of one and that it is over, or what keeps it', async () => {
  const receiver = await openReceiver('/told')
  const hooks = {
    DENDROLOG_WEBHOOK_URL: receiver.url,
    DENDROLOG_WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}`,
    DENDROLOG_INCIDENT_COMMAND: JSON.stringify([process.execPath, '-e', 'process.exit(3)']),
  }
  try {
    const tried = await run(['incident', 'test', '--json'], { ...environment, ...hooks })
    expect(tried.status).toBe(2)
    expect(JSON.parse(tried.stdout)).toEqual({
      hooks: [
        { hook: 'webhook', error: null },
        { hook: 'command', error: expect.stringContaining('3') },
      ],
    })
    const told = receiver.received.map(({ body }) => JSON.parse(body) as object)
    expect(told).toMatchObject([
      { type: 'incident.opened', data: { incident: { violationType: 'TEST' } } },
      { type: 'incident.closed', data: { incident: { violationType: 'TEST' } } },
    ])
    expect((await incident('test')).stderr).toContain('no hook is set')
  } finally {
    await receiver.close()
  }
})
