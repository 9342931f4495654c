/** Requests that no honest client sends, from RFC 9110, 9112, 3986, 6962 and C2SP tlog-tiles, and what each is answered. */
import { expect } from 'vitest'
import { notFoundTilePaths } from './tile-paths.ts'
import { type Exchange, exchange, request } from './wire.ts'

export type Secrets = { readonly writer: string; readonly auditor: string; readonly admin: string }

export type HostileRequest = {
  readonly what: string
  readonly bytes: (secrets: Secrets) => string
  readonly status: number
  readonly code: string
  readonly parameter?: string
  readonly pointer?: string
}

/** Published entries of the log that is asked. */
export const entriesBefore = 300

const event = JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: {} })
const chunked = `${event.length.toString(16)}\r\n${event}\r\n0\r\n\r\n`

function get(target: string, status: number, code: string, parameter?: string): HostileRequest {
  const bytes = ({ auditor }: Secrets): string => request(`GET ${target}`, { authorization: `Bearer ${auditor}` })
  return { what: target.slice(0, 100), bytes, status, code, ...(parameter === undefined ? {} : { parameter }) }
}

function raw(what: string, bytes: string, status = 400, code = 'malformed-request'): HostileRequest {
  return { what, bytes: () => bytes, status, code }
}

/** An event of the writer's with these lines in the head, and whatever body. */
function post(what: string, fields: string, body: string, version = '1.1'): HostileRequest {
  const head = `POST /v1/entries HTTP/${version}\r\nHost: localhost\r\nContent-Type: application/json\r\n`
  const bytes = ({ writer }: Secrets): string => `${head}Authorization: Bearer ${writer}\r\n${fields}\r\n${body}`
  return { what, bytes, status: 400, code: 'malformed-request' }
}

const smuggled = [
  post('Content-Length and Transfer-Encoding', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', chunked),
  post('Transfer-Encoding and Content-Length', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', chunked),
  post('two lengths', `Content-Length: ${event.length}\r\nContent-Length: 5\r\n`, event),
  post('the same length twice', `Content-Length: ${event.length}\r\nContent-Length: ${event.length}\r\n`, event),
  post('a list of lengths', `Content-Length: ${event.length}, ${event.length}\r\n`, event),
  ...['+5', '-1', '0x10', '1e1', '1_0', '', '5.0', '18446744073709551616'].map((length) =>
    post(`a length of ${length || 'nothing'}`, `Content-Length: ${length}\r\n`, event),
  ),
  ...['identity', 'xchunked', 'chunked, chunked', 'chunked, gzip', 'gzip, chunked', '"chunked"', '\x0bchunked'].map(
    (coding) => post(`Transfer-Encoding ${JSON.stringify(coding)}`, `Transfer-Encoding: ${coding}\r\n`, chunked),
  ),
  post('two codings', 'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n', chunked),
  post('chunks in HTTP/1.0', 'Transfer-Encoding: chunked\r\n', chunked, '1.0'),
  post('a folded Transfer-Encoding', 'Transfer-Encoding:\r\n chunked\r\n', chunked),
  post('a space before the colon', 'Transfer-Encoding : chunked\r\n', chunked),
  post('an indented field', ' Transfer-Encoding: chunked\r\n', chunked),
  ...[
    ['a size that is no number', `xyz\r\n${event}\r\n0\r\n\r\n`],
    ['a size with 0x', `0x${chunked}`],
    ['a negative size', `-1\r\n${event}\r\n0\r\n\r\n`],
    ['a size beyond 64 bits', `ffffffffffffffff1\r\n${event}\r\n0\r\n\r\n`],
    ['a space behind the size', chunked.replace('\r\n', ' \r\n')],
    ['a bare LF behind the size', chunked.replace('\r\n', '\n')],
    ['a bare LF in an extension', chunked.replace('\r\n', ';a\n5\r\n')],
    ['a bare LF behind the data', `${event.length.toString(16)}\r\n${event}\n0\r\n\r\n`],
    ['less than there is', `${(event.length - 3).toString(16)}\r\n${event}\r\n0\r\n\r\n`],
    ['an endless extension', chunked.replace('\r\n', `;a=${'b'.repeat(20_000)}\r\n`)],
    ['Content-Length in the trailers', `${chunked.slice(0, -2)}Content-Length: 5\r\n\r\n`],
  ].map(([what, body]) => post(`chunks: ${what}`, 'Transfer-Encoding: chunked\r\n', body ?? '')),
  post('two tokens', `Authorization: Bearer x\r\nContent-Length: ${event.length}\r\n`, event),
  post('two media types', `Content-Type: text/plain\r\nContent-Length: ${event.length}\r\n`, event),
]

const line = 'GET /healthz HTTP/1.1\r\n'

const heads = [
  raw('no Host', `${line}\r\n`),
  raw('two Hosts', `${line}Host: a\r\nHost: b\r\n\r\n`),
  ...['', 'a b', 'a/b', 'u@a', 'a/v1/log?', 'a, b', '[::1', 'a:b', 'a#'].map((host) =>
    raw(`Host ${JSON.stringify(host)}`, `${line}Host: ${host}\r\n\r\n`),
  ),
  ...['HTTP/0.9', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/9.9', 'HTTP/1', 'HTTP/1.1.1', 'http/1.1', 'HTTPS/1.1', ''].map(
    (version) => raw(`version ${JSON.stringify(version)}`, `GET /healthz ${version}\r\nHost: a\r\n\r\n`),
  ),
  raw('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  raw('a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  raw('bare LFs', 'GET /healthz HTTP/1.1\nHost: a\n\n'),
  raw('a bare LF behind a field', `${line}Host: a\nX: b\r\n\r\n`),
  raw('a bare CR in a field', `${line}Host: a\rX: b\r\n\r\n`),
  raw('CR LF CR', `${line}Host: a\r\n\rX: b\r\n\r\n`),
  raw('a folded field', `${line}Host: a\r\nX: b\r\n c\r\n\r\n`),
  raw('NUL in a field', `${line}Host: a\r\nX: a\0b\r\n\r\n`),
  raw('a control character in a field', `${line}Host: a\r\nX: a\x01b\r\n\r\n`),
  raw('a field without a name', `${line}Host: a\r\n: b\r\n\r\n`),
  raw('a field name with a bracket', `${line}Host: a\r\nX(: b\r\n\r\n`),
  raw('NULs ahead', `\0\0${line}Host: a\r\n\r\n`),
  raw('many fields', `${line}Host: a\r\n${'a:\r\n'.repeat(200)}\r\n`, 431, 'headers-too-large'),
  raw('a thousand fields', `${line}Host: a\r\n${'a:\r\n'.repeat(3_000)}\r\n`, 431, 'headers-too-large'),
  raw('a long field', `${line}Host: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'),
  raw('a long target', `GET /${'y'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, 'headers-too-large'),
  raw('an expectation', `${line}Host: a\r\nExpect: 200-ok\r\n\r\n`, 417, 'expectation-failed'),
  raw('CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'),
  ...['get', 'FOO', 'TRACK', 'GET\t/healthz', 'G ET'].map((method) =>
    raw(`method ${JSON.stringify(method)}`, `${method} /healthz HTTP/1.1\r\nHost: a\r\n\r\n`),
  ),
  ...['TRACE', 'PROPFIND', 'DELETE', 'PUT', 'PATCH', 'POST', 'OPTIONS'].map((method) =>
    raw(
      `method ${method}`,
      `${method} /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
      405,
      'method-not-allowed',
    ),
  ),
]

const targets = [
  ...[
    '/v1/../healthz',
    '/v1/./log',
    '/v1/%2e%2e/healthz',
    '/v1/%2E/log',
    '/v1/.%2e/healthz',
    '/tile/0/../0/000',
    '/..',
  ],
  ...['/v1/log#x', '/v1/log?x#y', '*', 'v1/log', '?x', '/v1\\log', '/v1/..\\healthz', '/v1/l\xf6g', '/v1/log x'],
  ...['ftp://a/healthz', 'file:///etc/passwd', 'http://a:b/healthz', '/v1/log\0'],
].map((target) => get(target, 400, 'malformed-request'))

const unknownPaths = [
  ...['//v1/log', '//localhost/v1/log', '/v1//log', '/v1/log/', '/V1/LOG', '/v1/log;a=b', '/v1%2flog', '/v1%5clog'],
  ...['/v1/log%00', '/v1/log%', '/v1/%ff', '/v1/%252e%252e/healthz', '/v1/..%2f..%2fetc/passwd', '/etc/passwd', '/'],
  ...['/v1', '/v1/', '/v1/entries/', '/v1/entries//proof', '/v1/entries/1/proof/', '/v1/entries/1/evil', '/.env'],
  ...[
    '/ct/v1/add-chain',
    '/ct/v2/get-sth',
    '/checkpoint/',
    '/tile',
    '/tile/',
    '/metrics/',
    '/__proto__',
    '/constructor',
  ],
  ...[`/${'a'.repeat(15_000)}`, '/v1/entries/1%2f..%2f2/proof/x', ...notFoundTilePaths().map((path) => `/${path}`)],
].map((path) => get(path, 404, 'not-found'))

const spellings = [
  ...[
    '',
    '-1',
    '1.5',
    '1e0',
    '0x1',
    '01',
    '+1',
    '%2B1',
    '%201',
    '1%20',
    'NaN',
    'Infinity',
    'null',
    'true',
    '1,2',
    '1_0',
  ],
  ...['%D9%A1', '1%00', "1'", '9007199254740992', '18446744073709551616', '9'.repeat(400), '%FF', '--1', '-0', '1n'],
]

/** RFC 6962 has numbers of 64 bits: a range is cut short, and of a tree that large nothing is known (404). */
const wellFormed = ['/ct/v1/get-entries end=9007199254740992', '/ct/v1/get-proof-by-hash tree_size=9007199254740992']

/** Path, the numeric parameter, and the others that it takes. */
const numeric = [
  ...[
    ['/v1/proofs/consistency', 'from', 'to=5'],
    ['/v1/proofs/consistency', 'to', 'from=1'],
    ['/v1/proofs/inclusion', 'index', 'size=5'],
    ['/v1/proofs/inclusion', 'size', 'index=0'],
    ['/v1/checkpoints', 'after', ''],
    ['/v1/checkpoints', 'limit', ''],
    ['/v1/checkpoints/stream', 'after', ''],
    ['/v1/entries/stream', 'after', ''],
    ['/v1/entries', 'limit', ''],
    ['/v1/incidents', 'limit', ''],
    ['/v1/incidents/dead-letters', 'limit', ''],
    ['/ct/v1/get-sth-consistency', 'first', 'second=5'],
    ['/ct/v1/get-sth-consistency', 'second', 'first=1'],
    ['/ct/v1/get-entries', 'start', 'end=5'],
    ['/ct/v1/get-entries', 'end', 'start=0'],
    ['/ct/v1/get-entry-and-proof', 'leaf_index', 'tree_size=5'],
    ['/ct/v1/get-entry-and-proof', 'tree_size', 'leaf_index=0'],
    ['/ct/v1/get-proof-by-hash', 'tree_size', `hash=${'A'.repeat(43)}%3D`],
  ].flatMap(([path = '', name = '', others = '']) => [
    ...spellings
      .filter((value) => !wellFormed.includes(`${path} ${name}=${value}`))
      .map((value) => get(`${path}?${name}=${value}&${others}`, 400, 'malformed-parameter', name)),
    get(`${path}?${name}=1&${name}=1&${others}`, 400, 'malformed-parameter', name),
    get(
      `${path}?${name}=1&%${name.charCodeAt(0).toString(16)}${name.slice(1)}=2&${others}`,
      400,
      'malformed-parameter',
      name,
    ),
    ...(path.startsWith('/ct/') ? [] : [get(`${path}?${name}[]=1&${others}`, 400, 'malformed-parameter', `${name}[]`)]),
  ]),
]

const beyond = entriesBefore + 100_000

const ranges = [
  ['/v1/proofs/consistency?from=6&to=5', 'from'],
  [`/v1/proofs/consistency?from=1&to=${beyond}`, 'to'],
  ['/v1/proofs/consistency?from=1&to=9007199254740991', 'to'],
  ['/v1/proofs/consistency?to=5', 'from'],
  ['/v1/proofs/consistency', 'to'],
  ['/v1/proofs/consistency?from=1;to=5', 'to'],
  ['/v1/proofs/consistency?from=1&to=5&to', 'to'],
  ['/v1/proofs/consistency?from=1&to=5&__proto__=1', '__proto__'],
  ['/v1/proofs/consistency?From=1&to=5', 'From'],
  ['/v1/proofs/inclusion?index=0&size=0', 'index'],
  ['/v1/proofs/inclusion?index=5&size=5', 'index'],
  [`/v1/proofs/inclusion?index=0&size=${beyond}`, 'size'],
  ['/v1/proofs/inclusion?index=9007199254740991&size=5', 'index'],
  ['/ct/v1/get-sth-consistency?first=6&second=5', 'first'],
  [`/ct/v1/get-sth-consistency?first=1&second=${beyond}`, 'second'],
  ['/ct/v1/get-sth-consistency', 'first'],
  ['/ct/v1/get-sth-consistency?first[]=1&second=5', 'first'],
  ['/ct/v1/get-entries?start=5&end=4', 'start'],
  [`/ct/v1/get-entries?start=${beyond}&end=${beyond}`, 'start'],
  ['/ct/v1/get-entries?start=9007199254740991&end=9007199254740991', 'start'],
  ['/ct/v1/get-entry-and-proof?leaf_index=5&tree_size=5', 'leaf_index'],
  ['/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=0', 'tree_size'],
  [`/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=${beyond}`, 'tree_size'],
  [`/ct/v1/get-proof-by-hash?hash=${'A'.repeat(43)}%3D&tree_size=0`, 'tree_size'],
  ...['', 'AAAA', 'A'.repeat(43), `${'A'.repeat(42)}B%3D`, `${'A'.repeat(41)}-_%3D`, '0'.repeat(64), '%00'].map(
    (hash) => [`/ct/v1/get-proof-by-hash?hash=${hash}&tree_size=5`, 'hash'],
  ),
  ['/v1/checkpoints?limit=0', 'limit'],
  ['/v1/checkpoints?limit=1001', 'limit'],
  ['/v1/checkpoints/stream?after=9007199254740991', 'after'],
  [`/v1/entries/stream?after=${beyond}`, 'after'],
  ...[
    '0',
    '01',
    '-1',
    '+1',
    '1.0',
    '1e2',
    '0x1',
    '9007199254740992',
    '%00',
    '%ff',
    '1%2fproof',
    'constructor',
    '1%20',
  ].flatMap((place) => [
    [`/v1/entries/${place}`, 'n'],
    [`/v1/entries/${place}/proof`, 'n'],
  ]),
  ...[
    '0',
    '1',
    'x',
    '%00',
    '%ff',
    'constructor',
    'dead-letters%20',
    '01890a5d-ac96-774b-bcce-b302099a805',
    '%2e%2e%2fx',
  ].map((place) => [`/v1/incidents/${place}`, 'id']),
  ['/v1/incidents/01890a5d-ac96-774b-bcce-b302099a8057?x=1', 'x'],
  ['/v1/verifier?x=1', 'x'],
  ['/v1/entries/1?x=1', 'x'],
  ['/v1/entries/1/proof?x=1', 'x'],
  ['/tile/0/000?x=1', 'x'],
].map(([target = '', parameter = '']) => get(target, 400, 'malformed-parameter', parameter))

const searches = [
  ...[
    '',
    'x',
    'asc.5',
    'desc.-1',
    'desc.1e2',
    'desc.5.5',
    'desc',
    'desc.',
    'desc.9007199254740992',
    'DESC.5',
    '5',
    '%00',
  ].map((cursor) => [`cursor=${cursor}`, 'cursor']),
  ['order=asc&cursor=desc.5', 'cursor'],
  ['limit=0', 'limit'],
  ['limit=1001', 'limit'],
  ['order=up', 'order'],
  ['order=ASC', 'order'],
  ['from=x', 'from'],
  ['from=2024-01-01', 'from'],
  ['to=1700000000', 'to'],
  ['to=2024-01-01T00:00:00%2B24:00', 'to'],
  ['from=2024-01-02T00:00:00Z&to=2024-01-01T00:00:00Z', 'from'],
  ['id=x', 'id'],
  ['id=%7B01890a5d-ac96-774b-bcce-b302099a8057%7D', 'id'],
  ['actorid=a', 'actorid'],
  ['sql=select', 'sql'],
  ['payload.a=1', 'payload.a'],
  ...['actorId', 'action', 'resource', 'clientIp', 'writer', 'actorIdPrefix', 'actionPrefix', 'resourcePrefix'].flatMap(
    (name) => [
      [`${name}=`, name],
      [`${name}=%00`, name],
      [`${name}=a%00b`, name],
      [`${name}=%ff`, name],
      [`${name}=%ed%a0%80`, name],
      [`${name}=%`, name],
      [`${name}=a&${name}=b`, name],
      [`${name}[]=a`, `${name}[]`],
    ],
  ),
].map(([query = '', parameter = '']) => get(`/v1/entries?${query}`, 400, 'malformed-parameter', parameter))

const streams = ['/v1/checkpoints/stream', '/v1/entries/stream'].flatMap((path) => [
  ...['', 'x', '-1', '1e2', '01', '1.0', '9007199254740991', '9007199254740992', '1, 2'].map(
    (id): HostileRequest => ({
      what: `${path} after the event ${JSON.stringify(id)}`,
      bytes: ({ auditor }) => request(`GET ${path}`, { authorization: `Bearer ${auditor}`, 'last-event-id': id }),
      ...{ status: 400, code: 'malformed-parameter', parameter: 'Last-Event-ID' },
    }),
  ),
  {
    what: `${path} after an event, and after nothing that is a number`,
    bytes: ({ auditor }: Secrets) =>
      request(`GET ${path}?after=x`, { authorization: `Bearer ${auditor}`, 'last-event-id': '0' }),
    ...{ status: 400, code: 'malformed-parameter', parameter: 'after' },
  },
])

const incidents = [
  ...['', 'x', '5', '%00', '{}', '01890a5d-ac96-774b-bcce-b302099a805'].map((cursor) => [`cursor=${cursor}`, 'cursor']),
  ...['', 'all', 'OPEN', 'open,closed', '%00'].map((state) => [`state=${state}`, 'state']),
  ...['', 'x', 'payload_corrupt', '_A', 'A%00', 'A%0A', 'A'.repeat(65), '%D0%90', "A'--"].map((type) => [
    `violationType=${type}`,
    'violationType',
  ]),
  ['limit=0', 'limit'],
  ['limit=201', 'limit'],
  ['state=open&state=open', 'state'],
  ['violationtype=A', 'violationtype'],
  ['order=asc', 'order'],
].map(([query = '', parameter = '']) => get(`/v1/incidents?${query}`, 400, 'malformed-parameter', parameter))

export const hostileRequests: readonly HostileRequest[] = [
  ...smuggled,
  ...heads,
  ...targets,
  ...unknownPaths,
  ...numeric,
  ...ranges,
  ...searches,
  ...incidents,
  ...streams,
]

/** What no answer may show: a stack, a path of the host, SQL, a module. */
const innards =
  /\n\s+at |node:|node_modules|\/tmp\/|\/src\/|\.ts:\d|\bselect\b.*\bfrom\b|insert into|security(_state)?\.|[Pp]ostgres|SQLSTATE/

/** Sends all of them, one after the other. Says of each that is not refused as it should be why. */
export async function findUnrefused(port: number, secrets: Secrets): Promise<readonly string[]> {
  const found: string[] = []
  for (const hostile of hostileRequests) {
    await expectRefused(port, hostile, secrets).catch((error: Error) => found.push(error.message))
  }
  return found
}

/** Sends it over a connection of its own, and fails the test unless it is refused as a problem that says where. */
async function expectRefused(port: number, hostile: HostileRequest, secrets: Secrets): Promise<void> {
  const { answers, rest } = await exchange(port, hostile.bytes(secrets))
  const [answer] = answers
  const { status, code, parameter, pointer } = hostile
  const json = JSON.parse(answer?.body || '{}') as Record<string, unknown>
  const got = { status: answer?.status, code: json.code, parameter: json.parameter, pointer: json.pointer }
  expect(got, `${hostile.what}: ${JSON.stringify({ answers, rest }).slice(0, 500)}`).toEqual({
    status,
    code,
    parameter,
    pointer,
  })
  expectPlain({ answers, rest }, hostile.what, secrets)
}

/** A problem document, and nothing that is nobody's business. */
function expectPlain({ answers: [answer] }: Pick<Exchange, 'answers' | 'rest'>, what: string, secrets: Secrets): void {
  if (answer === undefined) throw new Error(`${what}: no answer`)
  expect(answer.headers.get('content-type'), what).toBe('application/problem+json')
  expect(answer.headers.get('cache-control'), what).toBe('no-store')
  expect(answer.headers.get('x-request-id'), what).toMatch(/^[\w.:-]+$/)
  const json = JSON.parse(answer.body) as Record<string, unknown>
  expect(json.status, what).toBe(answer.status)
  expect(String(json.detail).length, what).toBeLessThan(1_000)
  const said =
    answer.body.replace(JSON.stringify(json.detail), '') + String(json.detail).replace(/^there is no \S+|got ".*"/, '')
  expect(said, what).not.toMatch(innards)
  for (const secret of Object.values(secrets)) expect(answer.body.includes(secret), `${what}: a token`).toBe(false)
}
