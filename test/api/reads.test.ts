import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { openCheckpoint } from '../../tlog/checkpoint.ts'
import { asLeafIndex, asTreeSize, splitPoint } from '../../tlog/coords.ts'
import { asHash, type Hash, nodeHash } from '../../tlog/hash.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkConsistency, checkInclusion } from '../../tlog/verify.ts'
import { newId, openEvidence, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { until } from '../support/log.ts'

/** Past two full tiles, so that proofs read full and partial ones. */
const entries = 521
const knownId = newId()
let api: TestApi
let leaves: Hash[]

beforeAll(async () => {
  api = await openTestApi()
  const records = Array.from({ length: entries - 1 }, (_, n) => submissionWith({ payload: { n } }))
  await api.post([submissionWith({ id: knownId }), ...records], {}, '?wait=published')
  const rows = await api.sql('select leaf_hash from security.audit_logs order by sequence_number')
  leaves = rows.map((row) => asHash(new Uint8Array(row.leaf_hash as Buffer)))
})
afterAll(() => api.close())

function hashesOf(json: Readonly<Record<string, unknown>>): Uint8Array[] {
  return (json.hashes as string[]).map(parseBase64)
}

function signedRoot(note: string): { size: number; root: Hash } {
  const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
  return openCheckpoint(new TextEncoder().encode(note), verifier.name, [verifier]).checkpoint
}

test('an entry is found by number and by id in any case', async () => {
  const byNumber = await api.get('/v1/entries/1', 'auditor')
  expect(byNumber.json).toMatchObject({ sequenceNumber: 1, id: knownId, payload: { reason: 'review' } })
  expect(byNumber.headers.get('cache-control')).toBe('no-store')
  for (const id of [knownId, knownId.toUpperCase()]) {
    expect((await api.get(`/v1/entries/${id}`, 'auditor')).json).toEqual(byNumber.json)
  }
})

test.each([
  ['0', 400],
  ['-1', 400],
  ['01', 400],
  ['1e2', 400],
  ['1.0', 400],
  ['+1', 400],
  ['9007199254740992', 400],
  ['99999999999999999999', 400],
  ['nothing', 400],
  ['1%2F2', 400],
  ['%00', 400],
  ['%zz', 400],
  ['{01890a5d-ac96-774b-bcce-b302099a8057}', 400],
  [String(entries + 1), 404],
  ['9007199254740991', 404],
  ['01890a5d-ac96-774b-bcce-b302099a8057', 404],
  ['01890a5d-ac96-474b-bcce-b302099a8057', 404],
])('entry %s is %i, and so is its proof', async (place, want) => {
  for (const path of [`/v1/entries/${place}`, `/v1/entries/${place}/proof`]) {
    const { status, headers, json } = await api.get(path, 'auditor')
    expect({ path, status }).toEqual({ path, status: want })
    expect(headers.get('content-type')).toBe('application/problem+json')
    if (want === 400) expect(json).toMatchObject({ code: 'malformed-parameter', parameter: 'n' })
  }
})

test('the proof of an entry holds under its checkpoint, by number and by id', async () => {
  for (const [place, index] of [
    ['1', 0],
    [knownId, 0],
    ['256', 255],
    ['257', 256],
    [String(entries), entries - 1],
  ] as const) {
    const { json } = await api.get(`/v1/entries/${place}/proof`)
    const { size, root } = signedRoot(json.checkpoint as string)
    const proof = json.inclusionProof as Record<string, unknown>
    expect(Object.keys(json).sort()).toEqual(['checkpoint', 'inclusionProof', 'leafHash', 'leafIndex'])
    expect(proof).toMatchObject({ leafIndex: index, treeSize: size })
    checkInclusion(asLeafIndex(index), asTreeSize(size), parseBase64(json.leafHash as string), hashesOf(proof), root)
  }
})

/** RFC 6962 2.1, as it stands there. */
function rootOf(hashes: readonly Hash[]): Hash {
  if (hashes.length === 1) return hashes[0] as Hash
  const k = splitPoint(hashes.length)
  return nodeHash(rootOf(hashes.slice(0, k)), rootOf(hashes.slice(k)))
}

function rootAt(size: number): Hash {
  return rootOf(leaves.slice(0, size))
}

test.each([1, 2, 3, 255, 256, 257, 511, 512, 513, entries])('inclusion proofs at size %i hold', async (size) => {
  for (const index of [0, Math.floor(size / 2), size - 1]) {
    const { json } = await api.get(`/v1/proofs/inclusion?index=${index}&size=${size}`)
    expect(Object.keys(json).sort()).toEqual(['hashes', 'leafIndex', 'treeSize'])
    checkInclusion(asLeafIndex(index), asTreeSize(size), leaves[index] as Hash, hashesOf(json), rootAt(size))
  }
})

test.each([
  [1, 2],
  [1, entries],
  [255, 256],
  [256, 512],
  [257, 513],
  [300, entries],
  [512, entries],
])('the consistency proof from %i to %i holds', async (from, to) => {
  const { json } = await api.get(`/v1/proofs/consistency?from=${from}&to=${to}`)
  expect(json).toMatchObject({ from, to })
  checkConsistency(asTreeSize(from), asTreeSize(to), rootAt(from), rootAt(to), hashesOf(json))
})

test.each([
  [0, 0],
  [0, entries],
  [7, 7],
  [entries, entries],
])('from %i to %i needs no hashes', async (from, to) => {
  expect((await api.get(`/v1/proofs/consistency?from=${from}&to=${to}`)).json).toEqual({ from, to, hashes: [] })
})

test.each([
  ['inclusion', '', 'size'],
  ['inclusion', 'size=1', 'index'],
  ['inclusion', 'index=0&size=', 'size'],
  ['inclusion', 'index=0&size=0', 'index'],
  ['inclusion', 'index=5&size=5', 'index'],
  ['inclusion', `index=0&size=${entries + 1}`, 'size'],
  ['inclusion', 'index=-1&size=5', 'index'],
  ['inclusion', 'index=00&size=5', 'index'],
  ['inclusion', 'index=1&index=2&size=5', 'index'],
  ['inclusion', 'index=0&size=18446744073709551616', 'size'],
  ['consistency', '', 'to'],
  ['consistency', 'to=5', 'from'],
  ['consistency', 'from=6&to=5', 'from'],
  ['consistency', `from=1&to=${entries + 1}`, 'to'],
  ['consistency', 'from=1e0&to=5', 'from'],
  ['consistency', 'from=%201&to=5', 'from'],
  ['consistency', 'from=1&to=9007199254740992', 'to'],
])('/v1/proofs/%s?%s is a 400 that names %s', async (kind, query, parameter) => {
  const { status, json } = await api.get(`/v1/proofs/${kind}?${query}`)
  expect(status).toBe(400)
  expect(json).toMatchObject({ code: 'malformed-parameter', parameter })
})

test.each([
  ['/v1/proofs/inclusion?index=0&size=1&tree=2', 'tree'],
  ['/v1/proofs/consistency?from=1&to=2&From=1', 'From'],
  ['/v1/entries/1?wait=published', 'wait'],
  ['/v1/entries/1/proof?size=1', 'size'],
  ['/v1/entries/1/proof?%73ize=1', 'size'],
])('%s is a 400 that names %s: nothing is ignored', async (path, parameter) => {
  const { status, json } = await api.get(path, 'auditor')
  expect(status).toBe(400)
  expect(json).toMatchObject({ code: 'malformed-parameter', parameter })
})

test.each(['?wiat=integrated', '?wait=integrated&x', '?Wait=integrated'])(
  'POST with %s logs nothing',
  async (query) => {
    const before = api.log.health.integratedSize
    const { status, json } = await api.post(submissionWith(), {}, query)
    expect({ status, code: json.code }).toEqual({ status: 400, code: 'malformed-parameter' })
    expect(api.log.health.integratedSize).toBe(before)
  },
)

test('/v1/log says what outside programs rely on', async () => {
  const { json } = await api.get('/v1/log')
  const { vkey, sthPublicKey, logId } = api.test.keys
  expect(json).toEqual({
    origin: 'test.example/log',
    vkey,
    sthPublicKey,
    logId,
    treeSize: api.log.published.treeSize,
    keys: [
      { vkey, use: 'checkpoint', from: 0, until: null },
      { spki: sthPublicKey, use: 'sth', from: 0, until: null },
    ],
    limits: {
      ...{ bodyBytes: 16_777_216, records: 10_000, recordBytes: 4_259_840, refusedListed: 1_000 },
      ...{ payloadBytes: 1_048_576, payloadDepth: 64 },
    },
    intervals: { checkpointMs: 10, resignMs: 60_000 },
    witnesses: [],
    publish: 'at-once',
  })
})

test('/checkpoint is the signed note and is not stored', async () => {
  const { text, headers } = await api.get('/checkpoint')
  expect(signedRoot(text).size).toBe(entries)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('content-type')).toBe('text/plain; charset=utf-8')
})

const publicPaths = [
  '/v1/log',
  '/checkpoint',
  '/v1/entries/1/proof',
  '/v1/proofs/inclusion?index=0&size=1',
  '/v1/proofs/consistency?from=1&to=2',
]

test.each(publicPaths)('pages of any origin may read %s, and ask before', async (path) => {
  const origin = { origin: 'https://example.com' }
  const got = await api.app.request(path, { headers: origin })
  expect(got.status).toBe(200)
  expect(got.headers.get('access-control-allow-origin')).toBe('*')
  const asked = await api.app.request(path, {
    method: 'OPTIONS',
    headers: { ...origin, 'access-control-request-method': 'GET' },
  })
  expect(asked.status).toBe(204)
  expect(asked.headers.get('access-control-allow-origin')).toBe('*')
  expect(asked.headers.get('access-control-allow-methods')).toContain('GET')
})

test('a page may read the refusal of a public path too', async () => {
  expect((await api.get('/v1/proofs/inclusion')).headers.get('access-control-allow-origin')).toBe('*')
})

test.each(['/v1/entries/1', '/v1/entries', '/healthz', '/readyz', '/nowhere'])(
  '%s is closed to other origins',
  async (path) => {
    const { headers } = await api.get(path, 'auditor')
    expect(headers.get('access-control-allow-origin')).toBeNull()
    const asked = await api.app.request(path, { method: 'OPTIONS' })
    expect(asked.headers.get('access-control-allow-origin')).toBeNull()
  },
)

test.each([
  '/nowhere',
  '/',
  '/v1',
  '/v1/entries/',
  '/v1/entries/1/',
  '/v1/entries//proof',
  '/V1/log',
  '/v1/log/',
  '/%2e%2e/etc/passwd',
])('%s is a 404 problem', async (path) => {
  const { status, json, headers } = await api.get(path, 'auditor')
  expect({ status, code: json.code }).toEqual({ status: 404, code: 'not-found' })
  expect(headers.get('content-type')).toBe('application/problem+json')
})

test.each([
  ['DELETE', '/v1/entries', 'GET, HEAD, POST'],
  ['PUT', '/v1/entries', 'GET, HEAD, POST'],
  ['POST', '/v1/log', 'GET, HEAD, OPTIONS'],
  ['PUT', '/v1/entries/1', 'GET, HEAD'],
  ['PATCH', '/checkpoint', 'GET, HEAD, OPTIONS'],
  ['POST', '/healthz', 'GET, HEAD'],
  ['OPTIONS', '/v1/entries', 'GET, HEAD, POST'],
  ['BREW', '/v1/log', 'GET, HEAD, OPTIONS'],
])('%s %s is a 405 that allows %s', async (method, path, allow) => {
  const response = await api.app.request(path, { method })
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe(allow)
  expect(await response.json()).toMatchObject({ code: 'method-not-allowed', status: 405 })
})

test.each(['/healthz', '/readyz', '/v1/log', '/checkpoint'])('HEAD %s is 200 without a body', async (path) => {
  const response = await api.app.request(path, { method: 'HEAD' })
  expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: '' })
})

test('a problem echoes the request id where it is one, and makes one elsewhere', async () => {
  const idOf = async (sent: string): Promise<string | null> =>
    (await api.app.request('/nowhere', { headers: { 'x-request-id': sent } })).headers.get('x-request-id')
  expect(await idOf('abc-1.2:3')).toBe('abc-1.2:3')
  expect(await idOf('a b"c')).toMatch(/^[0-9a-f-]{36}$/)
  expect(await idOf('x'.repeat(200))).toMatch(/^[0-9a-f-]{36}$/)
})

/** What a superuser can do, and nobody else: evidence may be changed from then on. */
const damages = [
  ['actor_id', "'mallory'"],
  ['payload', `'{"n":-1}'`],
  ['previous_hash', "repeat('0', 64)"],
  ['timestamp', "timestamp + interval '1 second'"],
  ['writer', "'token:mallory'"],
] as const

const columnTypes: Readonly<Record<string, string>> = { payload: 'jsonb', timestamp: 'timestamptz' }

/** Runs `look` while a column of entry 10 says something else. */
async function withDamage(column: string, value: string, look: () => Promise<void>): Promise<void> {
  await openEvidence(api)
  const [before] = await api.sql(`select ${column}::text as value from security.audit_logs where sequence_number = 10`)
  await api.sql(`update security.audit_logs set ${column} = ${value} where sequence_number = 10`)
  try {
    await look()
  } finally {
    const type = columnTypes[column] ?? 'text'
    await api.sql(`update security.audit_logs set ${column} = $1::${type} where sequence_number = 10`, [before?.value])
  }
}

test.each(damages)('an entry whose %s was changed is not served', async (column, value) => {
  const { id: idOfTen } = (await api.get('/v1/entries/10', 'auditor')).json
  await until(
    () => api.server.search.position() === entries,
    () => `searched up to ${api.server.search.position()}`,
  )
  await withDamage(column, value, async () => {
    for (const path of ['/v1/entries/10', '/ct/v1/get-entries?start=0&end=20', `/v1/entries?id=${idOfTen}`]) {
      const { status, headers, json, text } = await api.get(path, 'auditor')
      const got = { path, status, code: json.code, sequenceNumber: json.sequenceNumber }
      expect(got).toEqual({ path, status: 500, code: 'entry-damaged', sequenceNumber: 10 })
      expect(headers.get('retry-after')).toBeNull()
      expect(json.detail).toContain('entry 10 is not served')
      expect(text).not.toContain('mallory')
    }
  })
  expect((await api.get('/v1/entries/10', 'auditor')).status).toBe(200)
})

test.each(damages)(
  'while its %s is changed, the proof of an entry is still that of the leaf in the tree',
  async (column, value) => {
    await withDamage(column, value, async () => {
      const { json } = await api.get('/v1/entries/10/proof')
      const { size, root } = signedRoot(json.checkpoint as string)
      const hashes = hashesOf(json.inclusionProof as Record<string, unknown>)
      expect(parseBase64(json.leafHash as string)).toEqual(leaves[9])
      checkInclusion(asLeafIndex(9), asTreeSize(size), leaves[9] as Hash, hashes, root)
    })
  },
)

test('by id there is no proof of an entry whose columns are not those of its leaf', async () => {
  const { json: entry } = await api.get('/v1/entries/10', 'auditor')
  await withDamage('actor_id', "'mallory'", async () => {
    expect((await api.get(`/v1/entries/${entry.id}/proof`)).json.code).toBe('entry-damaged')
  })
})

test('whoever sends an event of a damaged entry again gets 503 with its number: shippers drop what they get a 500 for', async () => {
  const own = await openTestApi()
  try {
    const event = submissionWith({ id: newId() })
    await own.post(event)
    await openEvidence(own)
    await own.sql(`update security.audit_logs set actor_id = 'mallory' where sequence_number = 1`)
    const again = await own.post(event)
    expect(again).toMatchObject({ status: 503, json: { code: 'check-failed', sequenceNumber: 1 } })
    await own.sql(`update security.audit_logs set actor_id = $1 where sequence_number = 1`, [event.actorId])
  } finally {
    await own.close()
  }
})

test('a page of a search names the damaged entry, and its number leads around it', async () => {
  await until(
    () => api.server.search.position() === entries,
    () => `searched up to ${api.server.search.position()}`,
  )
  await withDamage('actor_id', "'mallory'", async () => {
    const page = await api.get('/v1/entries?cursor=desc.12&limit=5', 'auditor')
    expect(page).toMatchObject({ status: 500, json: { code: 'entry-damaged', sequenceNumber: 10 } })
    const [before, after] = [
      await api.get('/v1/entries?cursor=desc.12&limit=2', 'auditor'),
      await api.get('/v1/entries?cursor=desc.9&limit=2', 'auditor'),
    ]
    const numbers = [before, after].flatMap(({ json }) => json.entries as { sequenceNumber: number }[])
    expect(numbers.map(({ sequenceNumber }) => sequenceNumber)).toEqual([12, 11, 9, 8])
  })
})

test('an entry whose row is gone is named', async () => {
  await openEvidence(api)
  const move = 'update security.audit_logs set sequence_number = $2 where sequence_number = $1'
  await api.sql(move, [10, entries + 10])
  try {
    for (const path of ['/v1/entries/10', '/ct/v1/get-entries?start=0&end=20', '/v1/entries?cursor=desc.12']) {
      const { status, json } = await api.get(path, 'auditor')
      const got = { path, status, code: json.code, sequenceNumber: json.sequenceNumber }
      expect(got).toEqual({ path, status: 500, code: 'entry-damaged', sequenceNumber: 10 })
    }
  } finally {
    await api.sql(move, [entries + 10, 10])
  }
})

test('proofs need no payload: who may ask for them costs no more than a row and some tiles', async () => {
  const refuse = (): Promise<never> => Promise.reject(new Error('a payload was read'))
  const blind = await openTestApi({ entries: { readEntries: refuse, readPayloadSizes: refuse } })
  try {
    const id = newId()
    await blind.post(submissionWith({ id }))
    for (const place of [id, '1']) expect((await blind.get(`/v1/entries/${place}/proof`)).status).toBe(200)
    expect(await blind.post(submissionWith({ id }))).toMatchObject({ status: 200 })
  } finally {
    await blind.close()
  }
})

test('an entry of many large numbers is answered as the canonical text that it was', async () => {
  const api = await openTestApi()
  const numbers = `{"a":[${Array(1_000).fill('1e308').join(',')}]}`
  const posted = await api.post(
    `{"payload":${numbers},${JSON.stringify(submissionWith({ payload: undefined })).slice(1)}`,
  )
  const { sequenceNumber } = posted.json.entry as { sequenceNumber: number }
  const { text } = await api.get(`/v1/entries/${sequenceNumber}`, 'auditor')
  await api.close()
  expect(text).toContain('"payload":{"a":[1e+308,1e+308,')
  expect(text.length).toBeLessThan(8_500)
})

test('entries that are being read share a budget, and who does not fit comes again', async () => {
  const { readBudget } = api.server
  readBudget.take(67_108_864)
  try {
    const { status, headers } = await api.get('/v1/entries/1', 'auditor')
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toMatch(/^[1-9]$/)
    expect((await api.get('/v1/entries/1/proof')).status).toBe(200)
  } finally {
    readBudget.give(67_108_864)
  }
  expect((await api.get('/v1/entries/1', 'auditor')).status).toBe(200)
  expect(readBudget.bytesTaken).toBe(0)
})

test('an id that points at another entry is not served', async () => {
  await openEvidence(api)
  const id = newId()
  await api.sql('insert into security.entry_ids (event_id, sequence_number) values ($1, 3)', [id])
  expect((await api.get(`/v1/entries/${id}`, 'auditor')).json.code).toBe('check-failed')
  await api.sql('delete from security.entry_ids where event_id = $1', [id])
})

test('a row above the head is not served', async () => {
  await openEvidence(api)
  const columns =
    'timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip, event_id, writer, payload_hash, leaf_hash'
  await api.sql(
    `insert into security.audit_logs (sequence_number, ${columns})
     select ${entries + 1}, ${columns} from security.audit_logs where sequence_number = 1`,
  )
  expect((await api.get(`/v1/entries/${entries + 1}`, 'auditor')).status).toBe(404)
  await api.sql(`delete from security.audit_logs where sequence_number = ${entries + 1}`)
})

test('entries are open to everybody, and to pages of any origin, where a setting says so', async () => {
  const open = await openTestApi({ server: { publicEntries: true } })
  try {
    await open.post(submissionWith())
    const { status, headers } = await open.get('/v1/entries/1')
    expect({ status, open: headers.get('access-control-allow-origin') }).toEqual({ status: 200, open: '*' })
  } finally {
    await open.close()
  }
})
