import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { judgeBytes } from '../../src/cli/check/judge.ts'
import type { Result } from '../../src/cli/check/result.ts'
import { UsageError } from '../../src/cli/command.ts'
import { askForProof, proofFileOf, proveAtSize, proveConsistency } from '../../src/cli/prove/make-proof.ts'
import { proveCommand } from '../../src/cli/prove.ts'
import { LogClient } from '../../src/client/log-client.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { asHash } from '../../tlog/hash.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { formatProofFile } from '../../tlog/proof-file.ts'
import { type HostileServer, openHostileServer } from '../client/hostile-server.ts'
import { openEvidence, openTestApi, submissionWith, type TestApi } from '../support/api.ts'
import { type Finished, makeFolder, removeFolder, run } from './binary.ts'

// The real program against a real API: what `prove` writes, `check` checks without it.

const entries = 300
const never = new AbortController().signal
let api: TestApi
let folder = ''
let url = ''
let vkey = ''
let tokenFile = ''
let hostile: HostileServer | undefined
beforeAll(async () => {
  api = await openTestApi()
  folder = await makeFolder()
  url = `http://127.0.0.1:${(await api.listen()).port}`
  vkey = api.server.identity.vkey
  tokenFile = join(folder, 'token')
  await writeFile(tokenFile, api.tokens.auditor, { mode: 0o600 })
  const lines = Array.from({ length: entries }, (_, n) => JSON.stringify(submissionWith({ resource: `doc/${n}` })))
  await api.post(`${lines.join('\n')}\n`, { 'content-type': 'application/x-ndjson' }, '?wait=published')
})
afterAll(async () => {
  await hostile?.close()
  await api.close()
  await removeFolder(folder)
})

type Json = Readonly<Record<string, unknown>>

async function prove(args: readonly string[], at = url): Promise<Finished> {
  return run(['prove', ...args, '--vkey', vkey, '--url', at])
}

/** `prove` to a file, and what `check` says of that file. */
async function proveAndCheck(
  args: readonly string[],
  name: string,
): Promise<{ proved: Json; checked: Json; text: string }> {
  const file = join(folder, name)
  const { status, stdout } = await prove([...args, '--out', file, '--json'])
  expect({ status, stdout }).toMatchObject({ status: 0 })
  const check = await run(['check', file, '--vkey', vkey, '--json'])
  expect(check).toMatchObject({ status: 0, stderr: '' })
  const { file: written, ...proved } = JSON.parse(stdout) as Json
  expect(written).toBe(file)
  return { proved, checked: JSON.parse(check.stdout) as Json, text: await readFile(file, 'utf8') }
}

async function readEntry(place: string | number): Promise<Json> {
  return (await api.get(`/v1/entries/${place}`, 'auditor')).json
}

test.each([
  ['as JSON', 'p.json', /^\{"leafIndex":257,/],
  ['as a C2SP tlog-proof', 'p.tlog-proof', /^c2sp\.org\/tlog-proof@v1\nextra \S{44}\nindex 257\n/],
])('the proof of an entry %s holds offline', async (_, name, want) => {
  const { proved, checked, text } = await proveAndCheck(['257'], name)
  const { leafHash } = await readEntry(258)
  expect(text).toMatch(want)
  expect(checked).toEqual(proved)
  expect(checked).toMatchObject({ holds: true, leafIndex: 257, treeSize: entries, entry: null })
  expect(Buffer.from(String(checked.leafHash), 'base64').toString('hex')).toBe(leafHash)
})

test('with an auditor’s token the entry is checked, and a receipt is written', async () => {
  const { id } = await readEntry(8)
  const { checked, text } = await proveAndCheck([String(id), '--token-file', tokenFile], 'receipt.json')
  expect(checked).toMatchObject({ leafIndex: 7, entry: { sequenceNumber: 8, resource: 'doc/7' } })
  expect(text).toContain('"payload"')
  const short = await proveAndCheck([String(id), '--token-file', tokenFile], 'receipt.tlog-proof')
  expect(short.checked).toMatchObject({ leafIndex: 7, entry: null, leafHash: checked.leafHash })
})

test('by id without a token it is the leaf that the server says it is', async () => {
  const { id } = await readEntry(8)
  const proof = await askForProof(new LogClient({ url, vkey }), { kind: 'id', id: String(id) }, never)
  expect(judge(proof)).toMatchObject({ kind: 'holds', proved: { leafIndex: 7 } })
})

function judge(proof: object): Result {
  return judgeBytes(encodeUtf8(JSON.stringify(proof)), parseVkey(vkey))
}

test.each([1, 256, 257, entries])('a leaf is proved in the tree of the first %i entries', async (size) => {
  const proof = await proveAtSize(new LogClient({ url, vkey }), 0, size, never)
  expect(proof.extension === undefined).toBe(size === entries)
  expect(judge(proof)).toMatchObject({ kind: 'holds', proved: { kind: 'leaf', leafIndex: 0, treeSize: size } })
  const { extension, ...short } = proof
  const root = Buffer.alloc(32).toString('base64')
  if (extension === undefined) return
  expect(judge(short)).toMatchObject({ kind: 'violated', code: 'inclusion-mismatch' })
  expect(judge({ ...proof, extension: { ...extension, fromRoot: root } })).toMatchObject({ kind: 'violated' })
})

test.each([
  [1, 1],
  [3, 256],
  [256, entries],
  [entries, entries],
])('the tree of %i is proved to be the beginning of that of %i', async (from, to) => {
  const proof = await proveConsistency(new LogClient({ url, vkey }), from, to, never)
  expect(judge(proof)).toMatchObject({ kind: 'holds', proved: { kind: 'consistency', from, to } })
  for (const name of ['fromRoot', 'toRoot']) {
    expect(judge({ ...proof, [name]: Buffer.alloc(32).toString('base64') })).toMatchObject({ kind: 'violated' })
  }
})

test('a consistency proof and one of a smaller tree hold offline, and say so', async () => {
  const { proved, checked } = await proveAndCheck(['--consistency', '3', '256'], 'c.json')
  expect(checked).toEqual(proved)
  expect(checked).toMatchObject({ treeSize: entries, leafIndex: null, consistency: { from: 3, to: 256 } })
  expect((await proveAndCheck(['0', '--size', '7'], 'sized.json')).checked).toMatchObject({ leafIndex: 0 })
})

describe('as a COSE receipt', () => {
  const coseArgs = () => ['--cose', '--sth-key', api.server.identity.sthPublicKey]

  test('of an entry: check wants its leaf hash and the P-256 key', async () => {
    const file = join(folder, 'e.cose')
    const { status, stdout } = await prove(['41', ...coseArgs(), '--out', file, '--json'])
    const proved = JSON.parse(stdout) as Json
    expect({ status, proved }).toMatchObject({ status: 0, proved: { leafIndex: 41, treeSize: entries, file } })
    const known = ['--leaf-hash', String(proved.leafHash), '--sth-key', api.server.identity.sthPublicKey]
    expect(await run(['check', file, '--vkey', vkey, ...known])).toMatchObject({
      ...{
        status: 0,
        stdout: expect.stringMatching(/^holds: a leaf with the hash \S+ stands at index 41 of the tree of/),
      },
    })
    expect((await run(['check', file, '--vkey', vkey])).stdout).toContain('no-sth-key')
    expect((await run(['check', file, '--vkey', vkey, ...known.slice(2)])).stdout).toContain('no-leaf-hash')
    const other = ['--leaf-hash', '00'.repeat(32), ...known.slice(2)]
    expect(await run(['check', file, '--vkey', vkey, ...other])).toMatchObject({ status: 1 })
  })

  test('of consistency, from a root that is proved beforehand', async () => {
    const file = join(folder, 'c.cose')
    const { status, stdout } = await prove([
      '--consistency',
      '3',
      String(entries),
      ...coseArgs(),
      '--out',
      file,
      '--json',
    ])
    const { consistency } = JSON.parse(stdout) as { consistency: Json }
    expect({ status, consistency }).toMatchObject({ status: 0, consistency: { from: 3, to: entries } })
    const known = ['--from-root', String(consistency.fromRoot), '--sth-key', api.server.identity.sthPublicKey]
    const checked = await run(['check', file, '--vkey', vkey, ...known])
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringContaining('begin with the 3 that have the root') })
    const between = await prove(['--consistency', '3', '256', ...coseArgs()])
    expect(between).toMatchObject({
      status: 2,
      stdout: expect.stringContaining('no-receipt: to: no checkpoint of 256'),
    })
  })

  test('its key is asked for', async () => {
    expect((await prove(['1', '--cose'])).stderr).toContain('want --sth-key')
  })
})

test('an evidence bundle, for auditors', async () => {
  expect((await prove(['41', '--format', 'evidence'])).stderr).toContain('want --token-file')
  const file = join(folder, 'e.evidence')
  const { status, stdout } = await prove(['41', '--token-file', tokenFile, '--out', file])
  expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining(`written to ${file}`) })
  expect((await run(['check', file, '--vkey', vkey])).status).toBe(0)
})

test('without --out the proof is on standard output alone', async () => {
  const { status, stdout, stderr } = await prove(['0', '--format', 'tlog-proof'])
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/^holds: a leaf with the hash /) })
  expect((await run(['check', '-', '--vkey', vkey], {}, stdout)).status).toBe(0)
  const json = JSON.parse((await prove(['0', '--json'])).stdout) as Json
  expect((await run(['check', '-', '--vkey', vkey], {}, String(json.proof))).status).toBe(0)
})

test('check asks for the leaf hash where a tlog-proof has none, and refuses another one', async () => {
  const proof = await askForProof(new LogClient({ url, vkey }), { kind: 'index', index: 5 }, never)
  const own = proofFileOf(proof)
  const files = [formatProofFile({ ...own, extra: new Uint8Array(0) }), formatProofFile(own), JSON.stringify(proof)]
  const key = parseVkey(vkey)
  const [leaf, other] = [asHash(own.extra), asHash(new Uint8Array(32))]
  const kinds = files.map((text) =>
    [undefined, leaf, other].map((want) => judgeBytes(encodeUtf8(text), key, { leaf: want }).kind),
  )
  expect(kinds).toEqual([
    ['unknown', 'holds', 'violated'],
    ['holds', 'holds', 'violated'],
    ['holds', 'holds', 'violated'],
  ])
  const check = await run(['check', '-', '--vkey', vkey, '--json', '--leaf-hash', '00'.repeat(32)], {}, files[2] ?? '')
  expect(check).toMatchObject({ status: 1, stdout: expect.stringContaining('"leaf-mismatch"') })
})

test('what the log did not sign is a violation: status 1, and nothing is written', async () => {
  const file = join(folder, 'never.json')
  hostile = await openHostileServer(url, async (_, forward) => {
    const said = await forward()
    const proof = JSON.parse(Buffer.from(said.body).toString()) as { leafHash: string }
    return { ...said, body: JSON.stringify({ ...proof, leafHash: Buffer.alloc(32, 7).toString('base64') }) }
  })
  const { status, stdout } = await prove(['4', '--out', file], hostile.url)
  expect({ status, stdout }).toEqual({
    status: 1,
    stdout: expect.stringMatching(/^does NOT hold: inclusion-mismatch: /),
  })
  await expect(readFile(file)).rejects.toThrow('ENOENT')
})

test('a file that is there is replaced only with --force', async () => {
  const file = join(folder, 'there.json')
  await writeFile(file, 'mine')
  const { status, stderr } = await prove(['4', '--out', file])
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining('is there already; --force') })
  expect(await readFile(file, 'utf8')).toBe('mine')
  expect((await prove(['4', '--out', file, '--force'])).status).toBe(0)
  expect((await run(['check', file, '--vkey', vkey])).status).toBe(0)
})

test('an index that the log does not have yet is answered as an index', async () => {
  for (const more of [[], ['--token-file', tokenFile]]) {
    const { stdout } = await prove(['9999', ...more])
    expect(stdout).toMatch(/^could not check: not-found: index 9999: the log has \d+ entries, from index 0 on\n$/)
  }
})

test('what cannot be found out is status 2 with a code', async () => {
  const codeOf = async (args: readonly string[], at = url): Promise<unknown> => {
    const { status, stdout } = await prove([...args, '--json'], at)
    expect(status).toBe(2)
    return (JSON.parse(stdout) as Json).code
  }
  expect(await codeOf([String(entries)])).toBe('not-found')
  expect(await codeOf(['0', '--size', String(entries + 1)])).toBe('behind')
  expect(await codeOf(['0'], 'http://127.0.0.1:9')).toBe('unavailable')
})

test.each([
  [[], 'want the INDEX or the ID'],
  [['1', '2'], 'want the INDEX or the ID of one'],
  [['x'], 'want an INDEX (decimal) or an ID'],
  [['01'], 'INDEX: want a number'],
  [['--consistency', '2'], '--consistency: want FROM and TO'],
  [['--consistency', '2', '1'], 'FROM: 2 is above TO'],
  [['--consistency', '0', '1'], 'FROM: want a number of 1'],
  [['1', '--size', '2', '--format', 'tlog-proof'], '--size wants json'],
  [['1', '--format', 'xml'], '--format: want'],
])('bad use is refused: %j', async (args, reason) => {
  const run = proveCommand.run([...args, '--vkey', vkey, '--url', url], never)
  await expect(run).rejects.toThrow(UsageError)
  await expect(run).rejects.toThrow(reason)
})

test('an entry that was changed in the database is asked for once, and named in a line', async () => {
  await openEvidence(api)
  const [before] = await api.sql('select actor_id from security.audit_logs where sequence_number = 10')
  await api.sql(`update security.audit_logs set actor_id = 'mallory' where sequence_number = 10`)
  hostile = await openHostileServer(url, (_, forward) => forward())
  try {
    const { status, stdout } = await prove(['9', '--token-file', tokenFile], hostile.url)
    expect({ status, stdout }).toMatchObject({ status: 2 })
    expect(stdout).toMatch(/^.*entry-damaged: entry 10 is not served: .*\n$/)
    expect(hostile.asked.filter(({ path }) => path === '/v1/entries/10')).toHaveLength(1)
  } finally {
    await api.sql('update security.audit_logs set actor_id = $1 where sequence_number = 10', [before?.actor_id])
  }
})
