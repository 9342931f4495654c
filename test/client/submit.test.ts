import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CouldNotCheck, Refused, Unavailable, Violation } from '../../src/client/errors.ts'
import { type LogEvent, newEventId, withEventId } from '../../src/client/event.ts'
import { type LogClient, type LogClientOptions, openLogClient } from '../../src/client/log-client.ts'
import { retryAfterMsOf } from '../../src/client/retry.ts'
import { submit } from '../../src/client/submit.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { formatUuid, parseUuid, uuidUnixMs, uuidVersion } from '../../tlog/uuid.ts'
import { openTestApi, type TestApi } from '../support/api.ts'
import { type HostileServer, openHostileServer, type React, type Said, withJson } from './hostile-server.ts'
import { makeKey } from './memory-log.ts'

const event: LogEvent = {
  ...{ actorId: 'alice', action: 'document.read', resource: 'doc/ü', payload: { '10': [1.5, null], b: 'x' } },
  ...{ clientIp: '203.0.113.9', occurredAt: '2026-01-02T03:04:05.6+01:00', lamport: 7 },
}
const retry = { attemptsMax: 3, pauseMs: 1, pauseMsMax: 100 }
const unavailable: Said = {
  status: 503,
  headers: { 'retry-after': '0' },
  body: '{"code":"unavailable","detail":"busy"}',
}

let api: TestApi
let url: string
const opened: HostileServer[] = []

beforeAll(async () => {
  api = await openTestApi()
  url = `http://127.0.0.1:${(await api.listen()).port}`
})
afterEach(async () => {
  for (const server of opened.splice(0)) await server.close()
})
afterAll(() => api.close())

function clientOf(target: string, options: Partial<LogClientOptions> = {}): LogClient {
  return openLogClient({ url: target, vkey: api.test.keys.vkey, token: api.tokens.writer, retry, ...options })
}

async function hostile(react: React, behind = url): Promise<HostileServer> {
  const server = await openHostileServer(behind, react)
  opened.push(server)
  return server
}

async function countOf(id: string): Promise<number> {
  const rows = await api.sql('select count(*)::int as n from security.audit_logs where event_id = $1', [id])
  return rows[0]?.n as number
}

describe('an event', () => {
  test('comes back with a receipt that holds for who has nothing else', async () => {
    const { event: sent, receipt, proved, isNew } = await submit(clientOf(url), event)
    expect(isNew).toBe(true)
    const verifier = textVerifier(parseVkey(api.test.keys.vkey), nodeSignatureCheck)
    const { fields } = checkReceipt(parseReceipt(encodeUtf8(receipt)), verifier)
    expect(fields).toEqual(proved.fields)
    expect(formatUuid(fields.eventId)).toBe(sent.id)
    expect(fields).toMatchObject({ actorId: 'alice', clientIp: '203.0.113.9', lamport: 7 })
    expect(sent).toEqual({ ...event, id: sent.id })
  })

  test('that is sent again is the entry that is there, whoever sends it from where', async () => {
    const first = await submit(clientOf(`${url}/`), event)
    const again = await submit(clientOf(url), {
      ...first.event,
      clientIp: '198.51.100.1',
      id: first.event.id.toUpperCase(),
    })
    expect(again.isNew).toBe(false)
    expect(again.proved.fields).toEqual(first.proved.fields)
  })

  test('gets a new UUIDv7 of now, never the same', () => {
    const ids = Array.from({ length: 1_000 }, () => newEventId(1_700_000_000_123))
    expect(new Set(ids).size).toBe(1_000)
    expect(ids.every((id) => uuidVersion(parseUuid(id)) === 7)).toBe(true)
    expect(ids.every((id) => uuidUnixMs(parseUuid(id)) === 1_700_000_000_123)).toBe(true)
  })

  test.each([
    ['undefined', { a: undefined }],
    ['NaN', { a: Number.NaN }],
    ['a date', { a: new Date(0) }],
    ['a lone surrogate', { a: '\ud800' }],
    ['bytes', { a: Uint8Array.of(1) }],
  ])('with %s, which JSON would change, is not sent', async (_, payload) => {
    const { asked, url } = await hostile((_, forward) => forward())
    await expect(submit(clientOf(url), { ...event, payload })).rejects.toMatchObject({ code: 'json-not-strict' })
    expect(asked).toEqual([])
  })
})

describe('a refusal', () => {
  test('for good has the code, the reason and the place, and is not tried again', async () => {
    const { asked, url } = await hostile((_, forward) => forward())
    const refused = await submit(clientOf(url), { ...event, action: 'dendrolog.start' }).catch((error) => error)
    expect(refused).toBeInstanceOf(Refused)
    expect(refused).toMatchObject({ status: 400, code: 'malformed-submission', pointer: '/action' })
    expect(refused.detail).toContain('reserved')
    expect(asked).toHaveLength(1)
  })

  test('of an id with other content is 409', async () => {
    const { event: sent } = await submit(clientOf(url), event)
    const other = submit(clientOf(url), { ...sent, payload: {} })
    await expect(other).rejects.toMatchObject({ status: 409, code: 'idempotency-conflict', pointer: '/id' })
  })

  test('of a wrong token is 401, of an auditor 403', async () => {
    await expect(submit(clientOf(url, { token: 'nobody' }), event)).rejects.toMatchObject({ status: 401 })
    await expect(submit(clientOf(url, { token: api.tokens.auditor }), event)).rejects.toMatchObject({ status: 403 })
  })

  test('is what a redirect comes to: the token goes nowhere else', async () => {
    const other = await hostile((_, forward) => forward())
    const redirecting = await hostile(() => ({
      status: 307,
      headers: { location: `${other.url}/v1/entries` },
      body: '',
    }))
    await expect(submit(clientOf(redirecting.url), event)).rejects.toMatchObject({ status: 307, code: 'http-307' })
    expect(other.asked).toEqual([])
  })
})

describe('bad weather', () => {
  test('a connection that is cut after the commit leaves one entry, and its receipt comes with the next attempt', async () => {
    let cuts = 2
    const { asked, url: cutting } = await hostile(async (_, forward) => {
      const answer = await forward()
      return cuts-- > 0 ? 'cut' : answer
    })
    const { event: sent, isNew } = await submit(clientOf(cutting), event)
    expect(isNew).toBe(false)
    expect(await countOf(sent.id)).toBe(1)
    expect(asked.map(({ body }) => body.toString())).toEqual(Array(3).fill(asked[0]?.body.toString()))
  })

  test('503 is tried again, with the same bytes', async () => {
    let tries = 0
    const { asked, url } = await hostile((_, forward) => (tries++ === 0 ? unavailable : forward()))
    expect((await submit(clientOf(url), event)).isNew).toBe(true)
    expect(asked).toHaveLength(2)
    expect(asked[0]?.body.equals(asked[1]?.body as Buffer)).toBe(true)
  })

  test('who is told to come back later than it waits gives up at once', async () => {
    const { asked, url } = await hostile(() => ({ ...unavailable, headers: { 'retry-after': '3600' } }))
    await expect(submit(clientOf(url), event)).rejects.toThrow(Unavailable)
    expect(asked).toHaveLength(1)
  })

  test('attempts have an end, and the error says what to send again', async () => {
    let isAway = true
    const { asked, url } = await hostile(async (_, forward) => {
      const answer = await forward()
      return isAway ? 'cut' : answer
    })
    const error = await submit(clientOf(url), event).catch((error) => error)
    expect(error).toBeInstanceOf(Unavailable)
    expect(error.attempts).toBe(3)
    expect(error.message).toBe('no answer: fetch failed: other side closed (attempt 3)')
    expect(asked).toHaveLength(3)
    isAway = false
    const settled = await submit(clientOf(url), error.unsettled[0])
    expect(settled.isNew).toBe(false)
    expect(await countOf(settled.event.id)).toBe(1)
  })

  test('what a server says of its trouble is told by code and detail', async () => {
    const { url } = await hostile(() => unavailable)
    await expect(submit(clientOf(url), event)).rejects.toThrow('the server answered 503 unavailable: busy (attempt 3)')
  })

  test.each(['silent', 'stalled'] as const)('a server that is %s is given up', async (reaction) => {
    const { url } = await hostile(() => reaction)
    const error = await submit(clientOf(url, { timeoutMs: 50 }), event).catch((error) => error)
    expect(error).toBeInstanceOf(Unavailable)
    expect(error.message).toContain('no answer within 50 ms')
  })

  test.each(['silent', unavailable] as const)('%# a caller who aborts is not kept waiting', async (reaction) => {
    const stopping = new AbortController()
    const { url } = await hostile(() => {
      setTimeout(() => stopping.abort(new Error('enough')), 5)
      return reaction === 'silent' ? reaction : { ...reaction, headers: { 'retry-after': '50' } }
    })
    const client = clientOf(url, { retry: { attemptsMax: 9, pauseMs: 1, pauseMsMax: 60_000 } })
    await expect(submit(client, event, stopping.signal)).rejects.toThrow('enough')
  })

  test('Retry-After is seconds or a date; anything else says nothing', () => {
    const now = Date.parse('2026-01-02T03:04:05Z')
    const headers = [null, '3', 'Fri, 02 Jan 2026 03:04:15 GMT', 'Fri, 02 Jan 2026 03:04:00 GMT', 'soon', '-1']
    expect(headers.map((header) => retryAfterMsOf(header, now))).toEqual([0, 3_000, 10_000, 0, 0, 0])
  })
})

describe('a server that lies', () => {
  const receiptWith = (change: (receipt: Record<string, Record<string, unknown>>) => unknown): React => {
    return async (_, forward) => withJson(await forward(), (json) => change(json as never))
  }

  test.each([
    ['other content under the same id', { payload: { forged: true } }],
    ['another actor', { actorId: 'mallory' }],
    ['another time', { occurredAt: '2026-01-02T03:04:05.7Z' }],
    ['another address', { clientIp: '203.0.113.10' }],
    ['another clock', { lamport: 8 }],
    ['another id', { id: '01893f9c-3488-7000-8000-00000000abcd' }],
  ])('and logs %s is caught, although that receipt holds', async (_, members) => {
    const { url } = await hostile((asked, forward) =>
      forward(JSON.stringify({ ...(JSON.parse(asked.body.toString()) as object), ...members })),
    )
    const error = await submit(clientOf(url), withEventId(event)).catch((error) => error)
    expect(error).toBeInstanceOf(Violation)
    expect(error).toMatchObject({ code: 'other-event', evidence: expect.stringContaining('inclusionProof') })
    expect(error.message).toContain(Object.keys(members)[0])
  })

  test.each<[string, string, React]>([
    [
      'leaf-mismatch',
      'an entry that is not its leaf',
      receiptWith((r) => ({ ...r, entry: { ...r.entry, actorId: 'x' } })),
    ],
    [
      'leaf-mismatch',
      'a payload that the leaf does not cover',
      receiptWith((r) => ({ ...r, entry: { ...r.entry, payload: {} } })),
    ],
    [
      'inclusion-mismatch',
      'a proof of another place',
      receiptWith((r) => ({ ...r, inclusionProof: { ...r.inclusionProof, leafIndex: 0 } })),
    ],
    [
      'invalid-signature',
      'a checkpoint that was altered',
      receiptWith((r) => ({ ...r, checkpoint: String(r.checkpoint).replace(/\n\d+\n/, '\n999\n') })),
    ],
  ])('is found by %s: %s', async (code, _, react) => {
    await submit(clientOf(url), event)
    const { url: lying } = await hostile(react)
    const error = await submit(clientOf(lying), event).catch((error) => error)
    expect(error).toBeInstanceOf(Violation)
    expect(error.code).toBe(code)
  })

  test.each<[string, string, React]>([
    ['not-understood', 'an entry without a checkpoint', receiptWith(({ entry }) => ({ entry }))],
    ['not-understood', 'something else', receiptWith(() => null)],
    ['malformed-json', 'a page', () => ({ status: 200, body: '<html>' })],
    [
      'json-not-strict',
      'a receipt with two entries',
      async (_, forward) => ({ status: 200, body: `{"entry":{},${String((await forward()).body).slice(1)}` }),
    ],
    ['answer-too-large', 'zeros without end', () => 'endless'],
  ])('cannot be checked (%s): %s', async (code, _, react) => {
    const { url } = await hostile(async (asked, forward) => {
      const answer = await react(asked, async (body) => {
        const said = await forward(body)
        return { ...said, body: Buffer.from(said.body as Uint8Array) }
      })
      return answer
    })
    const error = await submit(clientOf(url), event).catch((error) => error)
    expect(error).toBeInstanceOf(CouldNotCheck)
    expect(error.code).toBe(code)
  })

  test('is not the log of another key: nothing can be said of that', async () => {
    const { origin } = api.server.identity
    const error = await submit(clientOf(url, { vkey: makeKey(origin).vkey }), event).catch((error) => error)
    expect(error).toBeInstanceOf(CouldNotCheck)
    expect(error.code).toBe('unverified-note')
  })
})
