import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { undefended } from '../../src/store/drill/attacks.ts'
import { openPool } from '../../src/store/session.ts'
import { decodeBundle } from '../../tlog/bundle.ts'
import { type Finished, finished, makeFolder, removeFolder, run } from '../cli/binary.ts'
import { schema, until } from '../support/log.ts'
import { pythonWith } from '../support/python.ts'
import { adminConfig, endAll, type ServerProcess, startServer } from '../support/server-process.ts'
import { startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts'
import { startWitnessProgram, type WitnessProcess } from '../support/witness-program.ts'

// Evidence with everything that others can say of an entry: three witnesses, one of them post-quantum, an authority whose
// stamp was stamped again, and a second log. What it makes is the vector of test/cli/evidence.test.ts as well:
//   DENDROLOG_WRITE_EVIDENCE=test/vectors/evidence npx vitest run --config test/slow.vitest.config.ts evidence.slow

const vectors = process.env.DENDROLOG_WRITE_EVIDENCE
const yearMs = 365 * 86_400_000
let folder: string
let python: string
let authority: TestAuthority
let witnesses: WitnessProcess[] = []
let outside: ServerProcess
let server: ServerProcess
let vkey: string
let anchorKey: string
let file: string

const inFolder = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = await makeFolder()
  python = await pythonWith('cryptography==48.0.0', inFolder('python'))
  authority = await startAuthority({ notAfter: new Date(Date.now() + 5 * yearMs) })
  outside = await startServer(inFolder('outside'), { DENDROLOG_ORIGIN: 'outside.example', DENDROLOG_VERIFIER: 'false' })
  anchorKey = await vkeyOf(outside)
  const first = await startServer(inFolder('data'), { DENDROLOG_ORIGIN: 'log.example', DENDROLOG_VERIFIER: 'false' })
  vkey = await vkeyOf(first)
  await first.stop()
  witnesses = await Promise.all([1, 2, 3].map(startWitness))
  const lines = witnesses.map(({ url, vkeys }, i) => `witness w${i + 1} ${vkeys.at(-1)} ${url}`)
  await writeFile(inFolder('policy'), `log ${vkey}\n${lines.join('\n')}\ngroup two 2 w1 w2 w3\nquorum two\n`)
  await writeFile(inFolder('roots.pem'), authority.root)
  await writeFile(inFolder('authorities'), `one ${authority.url} roots.pem\n`)
  await writeFile(inFolder('token'), outside.tokens.writer, { mode: 0o600 })
  await writeFile(inFolder('logs'), `dendrolog second ${outside.url} ${anchorKey} token\n`)
  server = await startLog()
}, 240_000)
afterAll(async () => {
  for (const { child, ended } of witnesses) {
    child.kill('SIGKILL')
    await ended
  }
  await endAll(inFolder('data'))
  await endAll(inFolder('outside'))
  await authority.close()
  await removeFolder(folder)
})

function startLog(): Promise<ServerProcess> {
  return startServer(inFolder('data'), {
    ...{ DENDROLOG_TIME_STAMPS: inFolder('authorities'), DENDROLOG_STAMP_SECONDS: '1' },
    ...{ DENDROLOG_STAMP_RENEW_SECONDS: '315360000', DENDROLOG_ANCHOR_LOGS: inFolder('logs') },
    ...{ DENDROLOG_WITNESS_POLICY: inFolder('policy'), DENDROLOG_PUBLISH: 'after-quorum' },
    ...{ DENDROLOG_VERIFIER: 'false', DENDROLOG_PUBLIC_METRICS: 'true' },
  })
}

async function vkeyOf({ url }: ServerProcess): Promise<string> {
  return ((await (await fetch(`${url}/v1/log`)).json()) as { vkey: string }).vkey
}

async function startWitness(n: number): Promise<WitnessProcess> {
  const dataDir = inFolder(`w${n}`)
  const kinds = n === 3 ? [] : ['--keys', 'ed25519']
  await run(['witness', 'init', '--name', `w${n}.example`, ...kinds, '--data', dataDir])
  await run(['witness', 'add-log', vkey, '--data', dataDir])
  return startWitnessProgram(dataDir)
}

async function metric(line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found = text.split('\n').find((each) => each.startsWith(`dendrolog_${line} `))
  return Number(found?.split(' ').at(-1) ?? 0)
}

async function append(): Promise<void> {
  const body = JSON.stringify({ actorId: 'alice', action: 'read', resource: 'doc/1', payload: { why: 'an audit' } })
  const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' }
  expect((await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body })).status).toBe(201)
}

const trust = (): readonly string[] => [
  ...['--vkey', vkey, '--roots', inFolder('roots.pem')],
  ...['--policy', inFolder('policy'), '--anchor-log', anchorKey],
]

const second = (script: string, ...args: string[]): Promise<Finished> =>
  finished(spawn(python, [join(import.meta.dirname, '../..', script), ...args]))

test('both verifiers say the same of all that is in it', async () => {
  await append()
  await until(
    async () =>
      (await metric('stamped_size{authority="one"}')) > 0 && (await metric('stamped_size{authority="second"}')) > 0,
    () => server.output().slice(-3_000),
  )
  await authority.renew(new Date(Date.now() + 30 * yearMs))
  // What was anchored in the last ten seconds waits, and the next look would come in an hour.
  await server.stop()
  await sleep(10_500)
  server = await startLog()
  await until(
    async () => (await metric('stamps_renewed_total{authority="one"}')) > 0,
    () => server.output().slice(-3_000),
    60_000,
  )
  const answer = await fetch(`${server.url}/v1/entries/1/evidence`, {
    headers: { authorization: `Bearer ${server.tokens.auditor}` },
  })
  const bytes = Buffer.from(await answer.arrayBuffer())
  expect(answer.status, server.output().slice(-3_000)).toBe(200)
  file = inFolder('one.evidence')
  await writeFile(file, bytes)
  const stamps = decodeBundle(bytes).heads.flatMap((head) => head.stamps.flatMap((each) => [each, ...each.renewals]))
  const stampBytes = stamps.flatMap(({ token, certificates }) => [token, ...certificates])
  expect(bytes.length - Buffer.concat(stampBytes).length).toBeLessThan(12_000)
  const first = await run(['check', file, ...trust()])
  const other = await second('deploy/verify.py', file, ...trust())
  expect([first.status, other.status, first.stderr, other.stderr]).toEqual([0, 0, '', ''])
  for (const said of [first.stdout, other.stdout]) {
    expect(said).toMatch(/entry 1 .read. on .doc\/1. by .alice./)
    expect(said).toMatch(/existed before 20.*; stamped again 20/)
    expect(said).toMatch(/stands in the log .outside\.example. at index 0\n/)
    expect(said.match(/cosigned by w\d at 20.*Z as the only history/g)?.length).toBeGreaterThanOrEqual(2)
    expect(said).not.toContain('own word')
  }
  if (vectors !== undefined) await writeVectors(vectors)
}, 120_000)

test('no byte of it may be another, says the second verifier', async () => {
  const args = [join(import.meta.dirname, '../../deploy/verify.py'), file, vkey, inFolder('roots.pem')]
  const flipped = await second('test/support/flip_bundle.py', ...args, inFolder('policy'))
  expect(flipped).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d{5,} flipped, 0 taken\n$/) })
})

/** The verifier that this log’s operator runs by hand. */
async function verify(): Promise<{ readonly status: number | null; readonly kinds: readonly string[] }> {
  const { status, stdout } = await run(['verify', '--full', '--json'], {
    ...{ DENDROLOG_DATA_DIR: inFolder('data'), DENDROLOG_TIME_STAMPS: inFolder('authorities') },
    ...{ DENDROLOG_WITNESS_POLICY: inFolder('policy'), DENDROLOG_ANCHOR_LOGS: inFolder('logs') },
  })
  const { findings } = JSON.parse(stdout) as { findings: { violationType: string }[] }
  return { status, kinds: findings.map(({ violationType }) => violationType).sort() }
}

test('swapped tokens and proofs and a replayed cosignature are findings', async () => {
  await append()
  await until(
    async () => {
      const sizes = await Promise.all(['one', 'second'].map((name) => metric(`stamped_size{authority="${name}"}`)))
      return Math.min(...sizes) >= 3
    },
    () => server.output().slice(-3_000),
    40_000,
  )
  expect(await verify()).toEqual({ status: 0, kinds: [] })
  const pool = openPool(await adminConfig(inFolder('data')), 1, 10_000)
  const bySuperuser = (text: string): Promise<unknown> => undefended(pool.query, schema, () => pool.query(text))
  const swapOf = (kind: string): string =>
    `update security.anchors a set evidence = b.evidence from security.anchors b
     where a.kind = '${kind}' and b.kind = a.kind and b.checkpoint_number < a.checkpoint_number`
  try {
    await bySuperuser(swapOf('rfc3161/one'))
    expect(new Set((await verify()).kinds)).toEqual(new Set(['ANCHOR_INVALID']))
    await bySuperuser(`delete from security.anchors where kind = 'rfc3161/one'`)
    await bySuperuser(swapOf('log/second'))
    expect(new Set((await verify()).kinds)).toEqual(new Set(['ANCHOR_INVALID']))
    await bySuperuser(`delete from security.anchors where kind = 'log/second'`)
    await bySuperuser(
      `update security.cosignatures c set line = o.line from security.cosignatures o
       where c.witness = o.witness and c.witness like 'w1%' and o.checkpoint_number < c.checkpoint_number`,
    )
    expect(new Set((await verify()).kinds)).toEqual(new Set(['COSIGNATURE_INVALID']))
  } finally {
    await pool.close()
  }
}, 120_000)

async function writeVectors(to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  for (const name of ['one.evidence', 'roots.pem']) await writeFile(join(to, name), await readFile(inFolder(name)))
  const policy = (await readFile(inFolder('policy'), 'utf8')).replaceAll(/ http:\S+/g, '')
  await writeFile(join(to, 'policy'), policy)
  await writeFile(join(to, 'keys.json'), `${JSON.stringify({ vkey, anchorLog: anchorKey }, null, 2)}\n`)
}
