import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Unavailable } from '../../src/log/incident.ts'
import type { Placement } from '../../src/log/pool.ts'
import type { Session } from '../../src/store/session.ts'
import { asSuperuser } from '../support/database-copy.ts'
import { createTestLog, idOf, type RunningLog, recordsOf, submit, type TestLog, until } from '../support/log.ts'

const statements = ['begin', 'head', 'ledger', 'ids', 'tiles', 'commit'] as const
type Statement = (typeof statements)[number]

const faults = ['failed before it was done', 'failed though it was done', 'lost its connection'] as const
type Fault = (typeof faults)[number]

const requestsCount = 14
const requestEntries = 50
const entries = requestsCount * requestEntries

let home: TestLog
beforeEach(async () => {
  home = await createTestLog()
})
afterEach(() => home.drop())

/** Request `n`: 50 records with ids of the client's. */
function request(n: number): ReturnType<typeof recordsOf> {
  return recordsOf(n * requestEntries, (n + 1) * requestEntries)
}

type Answers = ReadonlyMap<number, Placement>

/** All requests at once; the placements of those that were acknowledged. */
async function submitAll({ log }: RunningLog): Promise<Answers> {
  const answers = new Map<number, Placement>()
  const submitOne = async (n: number): Promise<void> => {
    try {
      answers.set(n, await submit(log, request(n)))
    } catch (error) {
      expect(error).toBeInstanceOf(Unavailable)
    }
  }
  await Promise.all(Array.from({ length: requestsCount }, (_, n) => submitOne(n)))
  return answers
}

/** Every acknowledged entry stands where the answer says. */
function expectInPlace(ids: readonly string[], answers: Answers): void {
  for (const [n, { firstSequenceNumber, acceptedCount, known }] of answers) {
    const places = new Map(known.map(({ i, sequenceNumber }) => [i, sequenceNumber]))
    expect(known.every(({ kind }) => kind === 'duplicate')).toBe(true)
    expect(acceptedCount + known.length).toBe(requestEntries)
    let next = firstSequenceNumber
    for (let i = 0; i < requestEntries; i++) {
      expect(ids[(places.get(i) ?? next++) - 1]).toBe(idOf(n * requestEntries + i))
    }
  }
}

async function expectRecovery(running: RunningLog): Promise<void> {
  const first = await submitAll(running)
  expect(first.size).toBeLessThan(requestsCount)
  await until(
    () => running.log.health.isReady,
    () => `the log is not back: ${running.log.health.problem}`,
  )
  const between = await home.check()
  expectInPlace(between.ids, first)
  const again = await submitAll(running)
  expect(again.size).toBe(requestsCount)
  await running.stop()
  const after = await home.check()
  expectInPlace(after.ids, again)
  expect(after.ids.slice(0, between.size)).toEqual(between.ids)
  expect(after).toMatchObject({ size: entries, publishedSize: entries })
}

/** Strikes once, the second time that the statement comes. */
function faultySession(session: Session, statement: Statement, strike: (act: Act) => Promise<void>): Session {
  let seen = 0
  const guard = (name: Statement | undefined, act: Act): Promise<void> =>
    name === statement && ++seen === 2 ? strike(act) : act()
  return {
    ...session,
    query: async (text, values) => {
      let rows: Awaited<ReturnType<Session['query']>> = []
      await guard(nameOf(text), async () => {
        rows = await session.query(text, values)
      })
      return rows
    },
    copy: (text, rows) => guard(nameOf(text), () => session.copy(text, rows)),
    commit: () => guard('commit', () => session.commit()),
  }
}

type Act = () => Promise<void>

function nameOf(text: string): Statement | undefined {
  if (text === 'begin') return 'begin'
  if (text.includes('.tree_heads')) return 'head'
  if (text.includes('.audit_logs')) return 'ledger'
  if (text.includes('.entry_ids')) return 'ids'
  if (text.includes('.tiles')) return 'tiles'
  return undefined
}

async function strikeWith(fault: Fault, session: Session, act: Act): Promise<void> {
  if (fault === 'lost its connection') {
    const [row] = await session.query('select pg_backend_pid() as pid')
    const acting = act().catch(() => {})
    await asSuperuser(home.database, (admin) => admin.query('select pg_terminate_backend($1)', [row?.pid]))
    await acting
  } else if (fault === 'failed though it was done') {
    await act()
  }
  throw new Error(`injected: the statement ${fault}`)
}

/** The session is wrapped once: a log that was opened again commits in peace. */
function once(wrap: (session: Session) => Session): (session: Session) => Session {
  let isFirst = true
  return (session) => {
    const wrapped = isFirst ? wrap(session) : session
    isFirst = false
    return wrapped
  }
}

const batchLimits = { entriesMax: 150, bytesMax: 8_000_000 }

describe.each(statements)('the statement "%s" of a commit', (statement) => {
  test.each(faults)('%s: nothing acknowledged is lost, nothing doubled, retries go in once', async (fault) => {
    const wrapSession = once((session) => faultySession(session, statement, (act) => strikeWith(fault, session, act)))
    const running = await home.start({ wrapSession, batchLimits })
    await expectRecovery(running)
    expect(running.incidents).toHaveLength(1)
    expect(running.incidents[0]).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  })
})

test('a commit that the server answers with a warning is not acknowledged, and found on the next look', async () => {
  // Stands for "canceling wait for synchronous replication": any WARNING while the transaction commits.
  await asSuperuser(home.database, async (admin) => {
    await admin.query('create table public.warner (n int)')
    await admin.query('grant insert on public.warner to app_writer_role')
    await admin.query(`create function public.warn() returns trigger language plpgsql
      as $$ begin raise warning 'might not have been replicated'; return null; end $$`)
    await admin.query(`create constraint trigger warn after insert on public.warner
      deferrable initially deferred for each row execute function public.warn()`)
  })
  const warn = (session: Session, act: Act): Promise<void> =>
    session.query('insert into public.warner values (1)').then(act)
  const wrapSession = once((session) => faultySession(session, 'commit', (act) => warn(session, act)))
  const running = await home.start({ wrapSession, batchLimits })
  await expectRecovery(running)
  expect(String((running.incidents[0] as Error).cause)).toContain('might not have been replicated')
})

test('a commit that gets no answer is given up, and everybody who waits is told', async () => {
  let isStuck = false
  const stuck = once((session) =>
    faultySession(session, 'commit', () => {
      isStuck = true
      return new Promise(() => {})
    }),
  )
  const running = await home.start({ wrapSession: stuck, batchLimits, timing: { commitTimeoutMs: 300 } })
  await expectRecovery(running)
  expect(isStuck).toBe(true)
})
