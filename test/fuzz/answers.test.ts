import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CouldNotCheck, Refused, Unavailable, Violation } from '../../src/client/errors.ts'
import { withEventId } from '../../src/client/event.ts'
import type { Fetch } from '../../src/client/http.ts'
import { LogClient } from '../../src/client/log-client.ts'
import { checkOnce } from '../../src/client/monitor.ts'
import { readEntry } from '../../src/client/read-entry.ts'
import { submit } from '../../src/client/submit.ts'
import { type Outcome, submitMany } from '../../src/client/submit-many.ts'
import type { SweptEntry } from '../../src/client/sweep-entries.ts'
import { openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { fuzzing, nearly } from './mutation.ts'

// What a client is answered: real answers, of which one is nearly what it was, with any status.

const entries = 257
const said = { actorId: 'alice', action: 'document.read', resource: 'doc/1', payload: { n: [1, 'ü'] } }
const event = withEventId(said)
let api: TestApi
/** By method, path and body: what comes later changes none of them. */
const given = new Map<string, Uint8Array>()
beforeAll(async () => {
  api = await openTestApi({ log: { resignIntervalMs: 86_400_000 } })
  const records = Array.from({ length: entries - 1 }, (_, n) => submissionWith({ payload: { n } }))
  await api.post(records, {}, '?wait=published')
  await api.post(event)
})
afterAll(() => api.close())

const recorded: Fetch = async (url, init) => {
  const path = url.slice(url.indexOf('/', 8))
  const key = `${init.method} ${path} ${init.body ?? ''}`
  let bytes = given.get(key)
  if (bytes === undefined) {
    const answer = await api.app.request(path, init)
    expect(answer.ok, path).toBe(true)
    bytes = new Uint8Array(await answer.arrayBuffer())
    given.set(key, bytes)
  }
  return new Response(new Uint8Array(bytes))
}

function clientOf(fetch: Fetch, token: string): LogClient {
  const retry = { attemptsMax: 1, pauseMs: 1, pauseMsMax: 10 }
  return new LogClient({ url: 'http://log.example', vkey: api.test.keys.vkey, token, retry, fetch })
}

type Change = { readonly at: number; readonly status: number; readonly change: (bytes: Uint8Array) => Uint8Array }

const statuses = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(200, 201) },
  { weight: 1, arbitrary: fc.constantFrom(202, 301, 400, 401, 404, 409, 429, 500, 503) },
)

/** One answer of some, changed; `count`: how many there are when nothing is. */
function changes(count: number): fc.Arbitrary<Change> {
  return fc.record({ at: fc.nat(count - 1), status: statuses, seed: fc.nat() }).map(({ at, status, seed }) => ({
    ...{ at, status },
    change: (bytes) => fc.sample(nearly(fc.constant(bytes)), { numRuns: 1, seed })[0] ?? bytes,
  }))
}

function changing({ at, status, change }: Change): Fetch {
  let n = 0
  return async (url, init) => {
    const answer = await recorded(url, init)
    if (n++ !== at) return answer
    return new Response(new Uint8Array(change(new Uint8Array(await answer.arrayBuffer()))), { status })
  }
}

/** Undefined where it is one of the four answers that are none; any other error is a bug. */
async function resultOf<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    const kinds = [Refused, Unavailable, CouldNotCheck, Violation]
    if (kinds.some((kind) => error instanceof kind)) return undefined
    throw error
  }
}

/** How many answers it takes when they are right, and what comes of them. */
async function whole<T>(token: string, run: (client: LogClient) => Promise<T>): Promise<[count: number, result: T]> {
  let count = 0
  const counting: Fetch = (url, init) => {
    count++
    return recorded(url, init)
  }
  const result = await run(clientOf(counting, token))
  return [count, result]
}

/** `share` of the runs: where one takes long. */
async function checkAll<T>(
  token: string,
  run: (client: LogClient) => Promise<T>,
  check: (got: T, want: T) => void,
  share = 1,
) {
  const [count, want] = await whole(token, run)
  await fc.assert(
    fc.asyncProperty(changes(count), async (change) => {
      const got = await resultOf(run(clientOf(changing(change), token)))
      if (got !== undefined) check(got, want)
    }),
    { ...fuzzing, numRuns: Math.ceil(share * fuzzing.numRuns) },
  )
}

test('a receipt is that of the event, or none', () =>
  checkAll(
    api.tokens.writer,
    (client) => submit(client, event),
    (got, want) => expect(got.proved.fields).toEqual(want.proved.fields),
  ))

test('an entry is the one of its place, by whatever tiles, or none', () =>
  checkAll(
    api.tokens.auditor,
    (client) => readEntry(client, entries - 1),
    (got, want) => expect([got.proved.fields, got.payload]).toEqual([want.proved.fields, want.payload]),
  ))

test('of each event of a batch there is one outcome, or of none', () => {
  const events = [event, withEventId(said), event]
  return checkAll(
    api.tokens.writer,
    (client) => outcomesOf(client, events),
    (got) => expect(got.map(({ event: { id } }) => id)).toEqual(events.map(({ id }) => id)),
  )
})

async function outcomesOf(client: LogClient, events: Parameters<typeof submitMany>[1]): Promise<Outcome[]> {
  const all: Outcome[] = []
  for await (const outcome of submitMany(client, events)) all.push(outcome)
  return all
}

test('a monitor that is answered anything keeps only a checkpoint that the log signed', async () => {
  const look = async (client: LogClient): Promise<readonly string[]> => {
    const saved: string[] = []
    const takeLeaves = async (): Promise<void> => {}
    const check = await checkOnce(client, {
      load: async () => undefined,
      save: async (s) => void saved.push(s),
      takeLeaves,
    })
    expect(['advanced', 'violated', 'unchecked']).toContain(check.kind)
    expect(saved.length).toBe(check.kind === 'advanced' ? 1 : 0)
    return saved
  }
  await checkAll(api.tokens.auditor, look, (got, want) => {
    for (const note of got) expect(note).toBe(want[0])
  })
})

test('a monitor that reads everything takes only what was logged, and calls nothing of one bad answer a violation of the tree', async () => {
  const publicKey = new Uint8Array(Buffer.from(api.test.keys.sthPublicKey, 'base64'))
  const known = await (await recorded('http://log.example/checkpoint', { method: 'GET' })).text()
  // The last of a full bundle and what is in the next: the others are no different.
  const first = 254
  const position = { load: async () => first, save: async () => {} }
  const look = async (client: LogClient): Promise<readonly [number, unknown][]> => {
    const taken: [number, unknown][] = []
    const take = async (batch: readonly SweptEntry[]): Promise<void> => {
      for (const { leafIndex, payload } of batch) taken[leafIndex - first] = [leafIndex, payload]
    }
    const check = await checkOnce(client, {
      ...{ load: async () => known, save: async () => {}, olderMs: 0, tiles: position },
      ...{ sth: { publicKey }, entries: { ...position, take } },
    })
    const kind = check.kind === 'violated' ? check.finding.kind : check.kind
    expect(['unchanged', 'unchecked', 'BAD_CHECKPOINT']).toContain(kind)
    expect(kind !== 'unchanged' || first + taken.length === Number(known.split('\n')[1])).toBe(true)
    return taken
  }
  await checkAll(api.tokens.auditor, look, (got, want) => expect(got).toEqual(want.slice(0, got.length)), 0.25)
})
