import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId, openTestApi, submissionWith, type TestApi } from '../support/api.ts'

// DESIGN section 3, member by member: what is refused, under which code, and where.

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

const base = submissionWith()
const astral = '\u{1f332}'
const mib = 1_048_576

/** A member's value, as JSON text where no JavaScript value makes it. */
type Bad = { readonly what: string; readonly text: string; readonly code: string; readonly pointer: string }

function bad(member: string, what: string, value: unknown, code = 'malformed-submission', pointer = `/${member}`): Bad {
  return { what: `${member} ${what}`, text: JSON.stringify(submissionWith({ [member]: value })), code, pointer }
}

function badText(member: string, what: string, json: string, code: string, pointer = `/${member}`): Bad {
  const rest = Object.entries(base).filter(([name]) => name !== member)
  const members = [...rest.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)]
  return { what: `${member} ${what}`, text: `{${[...members, `${JSON.stringify(member)}:${json}`]}}`, code, pointer }
}

const texts = [
  ['actorId', 255],
  ['action', 100],
  ['resource', 255],
] as const

const badTexts = texts.flatMap(([member, max]) => [
  bad(member, 'missing', undefined),
  bad(member, 'null', null),
  bad(member, 'number', 7),
  bad(member, 'boolean', true),
  bad(member, 'array', ['a']),
  bad(member, 'object', {}),
  bad(member, 'empty', ''),
  bad(member, 'one character too long', 'x'.repeat(max + 1)),
  bad(member, 'one astral character too long', astral.repeat(max + 1)),
  badText(member, 'one escaped pair too long', `"${'\\ud83c\\udf32'.repeat(max + 1)}"`, 'malformed-submission'),
  badText(member, 'with U+0000', '"a\\u0000b"', 'json-not-strict'),
  badText(member, 'with a lone high surrogate', '"\\ud800"', 'json-not-strict'),
  badText(member, 'with a lone low surrogate', '"\\udc00x"', 'json-not-strict'),
])

const badIds = [
  ['null', null],
  ['number', 1],
  ['empty', ''],
  ['of version 4', '01890a5d-ac96-474b-bcce-b302099a8057'],
  ['of version 8, which only the server derives', '01890a5d-ac96-874b-bcce-b302099a8057'],
  ['of version 0', '00000000-0000-0000-0000-000000000000'],
  ['of the Microsoft variant', '01890a5d-ac96-774b-dcce-b302099a8057'],
  ['of the NCS variant', '01890a5d-ac96-774b-7cce-b302099a8057'],
  ['in braces', '{01890a5d-ac96-774b-bcce-b302099a8057}'],
  ['as a URN', 'urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057'],
  ['without dashes', '01890a5dac96774bbcceb302099a8057'],
  ['with a space', '01890a5d-ac96-774b-bcce-b302099a8057 '],
  ['with a letter that is no digit', '01890a5d-ac96-774b-bcce-b302099a805g'],
  ['a digit short', '01890a5d-ac96-774b-bcce-b302099a805'],
].map(([what, value]) => bad('id', String(what), value))

const badTimes = [
  ['null', null],
  ['number', 1_700_000_000],
  ['empty', ''],
  ['date only', '2024-01-01'],
  ['without an offset', '2024-01-01T00:00:00'],
  ['with a lower-case t', '2024-01-01t00:00:00Z'],
  ['with a lower-case z', '2024-01-01T00:00:00z'],
  ['with a space for T', '2024-01-01 00:00:00Z'],
  ['with second 60', '2016-12-31T23:59:60Z'],
  ['with minute 60', '2024-01-01T00:60:00Z'],
  ['with hour 24', '2024-01-01T24:00:00Z'],
  ['with month 13', '2024-13-01T00:00:00Z'],
  ['with day 0', '2024-01-00T00:00:00Z'],
  ['with a day that the month has not', '2023-02-29T00:00:00Z'],
  ['with offset 16:00', '2024-01-01T00:00:00+16:00'],
  ['with offset minute 60', '2024-01-01T00:00:00+01:60'],
  ['with an offset without colon', '2024-01-01T00:00:00+0100'],
  ['with seven digits', '2024-01-01T00:00:00.1234567Z'],
  ['with a point and no digits', '2024-01-01T00:00:00.Z'],
  ['with a comma', '2024-01-01T00:00:00,5Z'],
  ['before 1970', '1969-12-31T23:59:59.999999Z'],
  ['before 1970 in UTC', '1970-01-01T00:00:00+00:01'],
  ['in 2255', '2255-01-01T00:00:00Z'],
  ['in 2255 in UTC', '2254-12-31T23:59:00-00:01'],
  ['of a year with five digits', '12024-01-01T00:00:00Z'],
  ['with digits of another script', '２024-01-01T00:00:00Z'],
].map(([what, value]) => bad('occurredAt', String(what), value))

const badClocks = [
  bad('lamport', 'null', null),
  bad('lamport', 'text', '1'),
  bad('lamport', 'negative', -1),
  badText('lamport', 'a fraction', '0.5', 'malformed-submission'),
  badText('lamport', 'of 2^53', '9007199254740992', 'malformed-submission'),
  badText('lamport', 'of 2^53 + 1', '9007199254740993', 'json-not-strict'),
  badText('lamport', 'beyond doubles', '1e400', 'json-not-strict'),
]

const badAddresses = [
  ['null', null],
  ['number', 1],
  ['empty', ''],
  ['a name', 'localhost'],
  ['three octets', '1.2.3'],
  ['five octets', '1.2.3.4.5'],
  ['an octet of 256', '1.2.3.256'],
  ['a leading zero', '1.2.3.04'],
  ['hexadecimal', '0x1.2.3.4'],
  ['with a port', '1.2.3.4:80'],
  ['with a prefix length', '10.0.0.0/8'],
  ['in brackets', '[::1]'],
  ['with a zone', 'fe80::1%eth0'],
  ['with two gaps', '1::2::3'],
  ['with nine groups', '1:2:3:4:5:6:7:8:9'],
  ['with seven groups', '1:2:3:4:5:6:7'],
  ['with a group of five digits', '::12345'],
  ['IPv4-mapped with a leading zero', '::ffff:1.2.3.04'],
  ['with a space', ' 1.2.3.4'],
].map(([what, value]) => bad('clientIp', String(what), value))

const nested = (depth: number): string => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`
const ofBytes = (bytes: number): string => `{"a":"${'x'.repeat(bytes - 8)}"}`

const badPayloads = [
  bad('payload', 'missing', undefined),
  bad('payload', 'null', null),
  bad('payload', 'text', 'text'),
  bad('payload', 'number', 1),
  bad('payload', 'array', []),
  bad('payload', 'with an encrypted member', { 'dendrolog:enc': 'x' }),
  bad('payload', 'with an encrypted member below', { a: [{ b: { 'dendrolog:enc': {} } }] }),
  badText('payload', 'with an escaped encrypted member', '{"dendrolog\\u003aenc":1}', 'malformed-submission'),
  badText('payload', 'of 65 levels', nested(65), 'json-not-strict', `/payload${'/a'.repeat(64)}`),
  badText(
    'payload',
    'of 65 levels of arrays',
    `{"a":${'['.repeat(64)}${']'.repeat(64)}}`,
    'json-not-strict',
    `/payload/a${'/0'.repeat(63)}`,
  ),
  badText('payload', 'one byte too long', ofBytes(mib + 1), 'malformed-submission'),
  badText('payload', 'of numbers that grow', `{"a":[${Array(150_000).fill('1e20')}]}`, 'malformed-submission'),
  badText('payload', 'with a name twice', '{"a":1,"a":1}', 'json-not-strict', '/payload/a'),
]

const badShapes: Bad[] = [
  bad('action', 'of the reserved prefix', 'dendrolog.start'),
  badText('action', 'of the reserved prefix, escaped', '"\\u0064endrolog.x"', 'malformed-submission'),
  bad('tenant', 'is unknown', 'x'),
  bad('actorid', 'is unknown in another case', 'x'),
  bad('a/b~c', 'is unknown and escaped in the pointer', 1, 'malformed-submission', '/a~1b~0c'),
  bad('sequenceNumber', "is the server's", 1),
  badText('__proto__', 'is refused', '{}', 'json-not-strict'),
  {
    what: 'actorId twice',
    text: `{"actorId":"a",${JSON.stringify(base).slice(1)}`,
    code: 'json-not-strict',
    pointer: '/actorId',
  },
]

const cases = [...badTexts, ...badIds, ...badTimes, ...badClocks, ...badAddresses, ...badPayloads, ...badShapes]

test.each(cases)('$what is a 400 that names it', async ({ text, code, pointer }) => {
  const { status, headers, json } = await api.post(text)
  expect({ status, code: json.code, pointer: json.pointer }).toEqual({ status: 400, code, pointer })
  expect(headers.get('content-type')).toBe('application/problem+json')
  expect(Object.keys(json).sort()).toEqual(['code', 'detail', 'pointer', 'requestId', 'status', 'title', 'type'])
  const [member] = pointer.slice(1).split('/')
  expect(String(json.detail)).toContain(member)
})

test('in a batch each of them is quarantined for the same reason, and the good ones go in', async () => {
  const good = JSON.stringify(base)
  const lines = cases.flatMap(({ text }) => [good, text])
  const { status, json } = await api.post(lines.join('\n'), { 'content-type': 'application/x-ndjson' })
  expect(status).toBe(200)
  expect(json).toMatchObject({ accepted: cases.length, duplicates: 0, quarantined: cases.length })
  const results = json.results as Record<string, unknown>[]
  expect(results.map(({ i, code, pointer }) => ({ i, code, pointer }))).toEqual(
    cases.map(({ code, pointer }, k) => ({ i: 2 * k + 1, code, pointer })),
  )
})

const notJson = [
  ['nothing', ''],
  ['white space', ' \n'],
  ['a byte order mark', `\ufeff${JSON.stringify(base)}`],
  ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
  ['an overlong character', Uint8Array.of(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d)],
  ['cut off', JSON.stringify(base).slice(0, -1)],
  ['two values', `${JSON.stringify(base)}${JSON.stringify(base)}`],
  ['single quotes', "{'a':1}"],
  ['a trailing comma', '{"a":1,}'],
  ['a comment', '{} // x'],
  ['NaN', '{"a":NaN}'],
  ['a control character in a string', '{"a":"\n"}'],
  ['an unknown escape', '{"a":"\\x41"}'],
  ['a leading zero', '{"a":01}'],
  ['UTF-16', new Uint8Array(Buffer.from(JSON.stringify(base), 'utf16le'))],
] as const

test.each(notJson)('a body that is %s is malformed-json', async (_, body) => {
  const { status, json } = await api.post(body)
  expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-json' })
})

test.each([['null'], ['true'], ['1'], ['"text"']])('a body that is %s is refused as no object', async (body) => {
  const { status, json } = await api.post(body)
  expect({ status, code: json.code, pointer: json.pointer }).toEqual({
    ...{ status: 400, code: 'malformed-submission', pointer: '' },
  })
})

const edges: [string, Record<string, unknown>][] = [
  ...texts.flatMap(([member, max]): [string, Record<string, unknown>][] => [
    [`${member} of 1 character`, { [member]: 'x' }],
    [`${member} of ${max} characters`, { [member]: 'x'.repeat(max) }],
    [`${member} of ${max} astral characters`, { [member]: astral.repeat(max) }],
    [`${member} of spaces`, { [member]: '  ' }],
    [`${member} not normalised`, { [member]: 'e\u0301\u00e9\u200b' }],
    [`${member} of quotes and backslashes`, { [member]: '"\\/\b\f\n\r\t\u0001\u007f' }],
  ]),
  ['action like the reserved prefix', { action: 'dendrolog' }],
  ['action of the reserved prefix in capitals', { action: 'Dendrolog.x' }],
  ['lamport of 0', { lamport: 0 }],
  ['lamport of 2^53 - 1', { lamport: Number.MAX_SAFE_INTEGER }],
  ['an id in upper case', { id: newId().toUpperCase() }],
  ...[
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '::1',
    '2001:DB8::1',
    '::ffff:1.2.3.4',
    '1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:255.255.255.255',
    '1::8',
  ].map((clientIp): [string, Record<string, unknown>] => [`clientIp ${clientIp}`, { clientIp }]),
  ['a payload without members', { payload: {} }],
  ['a payload of 64 levels', { payload: JSON.parse(nested(64)) as object }],
  ['a payload of 1 MiB', { payload: JSON.parse(ofBytes(mib)) as object }],
  ['a payload with names of objects', { payload: { constructor: 1, toString: 2, hasOwnProperty: null } }],
  ['a payload with "dendrolog:enc" as text', { payload: { a: '"dendrolog:enc":1', 'dendrolog:encx': 1 } }],
]

test.each(edges)('%s is accepted and kept as sent', async (_, members) => {
  const { status, json } = await api.post(submissionWith(members), {}, '?wait=integrated')
  expect(status).toBe(201)
  const entry = json.entry as Record<string, unknown>
  for (const [name, value] of Object.entries(submissionWith(members))) {
    expect(entry[name]).toEqual(name === 'id' ? String(value).toLowerCase() : value)
  }
})

const times: [string, string][] = [
  ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000000Z'],
  ['2254-12-31T23:59:59.999999Z', '2254-12-31T23:59:59.999999Z'],
  ['2024-02-29T12:00:00.5+15:59', '2024-02-28T20:01:00.500000Z'],
  ['1969-12-31T23:59:00-00:01', '1970-01-01T00:00:00.000000Z'],
  ['2255-01-01T00:00:59+00:01', '2254-12-31T23:59:59.000000Z'],
  ['2024-01-01T00:00:00-00:00', '2024-01-01T00:00:00.000000Z'],
]

test.each(times)('occurredAt %s is the instant %s', async (occurredAt, instant) => {
  const { json } = await api.post(submissionWith({ occurredAt }), {}, '?wait=integrated')
  expect((json.entry as Record<string, unknown>).occurredAt).toBe(instant)
})

test('a payload whose white space makes it longer than 1 MiB is taken: its canonical text counts', async () => {
  const { status } = await api.post(
    `{"payload":{${' '.repeat(mib)}},${JSON.stringify(submissionWith({ payload: undefined })).slice(1)}`,
  )
  expect(status).toBe(201)
})

test('minus zero becomes 0, and nothing else of a payload changes', async () => {
  const payload = '{"z":-0,"a":[1.0,1e2,"\\u0041\\ud83c\\udf32",0.10000000000000001],"10":1,"9":2}'
  const { json } = await api.post(
    `{"payload":${payload},${JSON.stringify(submissionWith({ payload: undefined })).slice(1)}`,
  )
  const entry = json.entry as Record<string, unknown>
  expect(entry.payload).toEqual({ ...(JSON.parse(payload) as object), z: 0 })
})

test('nothing of this was unexpected', () => {
  expect(api.unexpected).toEqual([])
})

test.each(['/v1/log', '/openapi.json', '/docs', '/metrics'])(
  'a query parameter that %s does not know is 400',
  async (path) => {
    const { status, json } = await api.get(`${path}?limti=1`, 'admin')
    expect({ status, json }).toMatchObject({ status: 400, json: { code: 'malformed-parameter', parameter: 'limti' } })
    expect((await api.get(path, 'admin')).status).toBe(200)
  },
)

test.each(['/checkpoint', '/healthz'])('%s takes what caches and probes add', async (path) => {
  expect((await api.get(`${path}?t=1`)).status).toBe(200)
})
