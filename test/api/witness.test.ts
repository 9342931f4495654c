import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ByteBudget } from '../../api/byte-budget.ts'
import { createWitnessApp } from '../../api/witness.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { createWitnessMetrics } from '../../src/ops/witness-metrics.ts'
import { Witness } from '../../src/witness/witness.ts'
import { addCheckpointBytesMax } from '../../tlog/add-checkpoint.ts'
import { parseHex } from '../../tlog/bytes.ts'
import { cosignatureTime } from '../../tlog/cosignature.ts'
import { parseSignatureLines, textVerifier } from '../../tlog/note.ts'
import { namedKey, parseVkey } from '../../tlog/note-key.ts'

// The requests of the vectors, to the HTTP side of a witness with the vectors' key.

type Step = {
  why: string
  witnessSizeBefore: number
  request: string
  status: number
  response?: string
  contentType?: string
}

const path = new URL('../vectors/checkpoint/witness-add-checkpoint.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8')) as { logVkey: string; monitoringPath: string; steps: Step[] }
const keysPath = new URL('../vectors/note/keys.json', import.meta.url)
const { keys } = JSON.parse(readFileSync(keysPath, 'utf8')) as { keys: { name: string; seedHex: string }[] }
const name = 'witness.example/w1'
const { publicKey, sign } = ed25519SignerFromSeed(parseHex(keys.find((key) => key.name === name)?.seedHex ?? ''))

let dataDir: string
let witness: Witness
let app: ReturnType<typeof createWitnessApp>
let nowMs = 0
const unexpected: unknown[] = []

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-witness-'))
  witness = await Witness.open({
    dataDir,
    keys: [{ key: namedKey(name, 4, publicKey), sign }],
    logs: [
      { origin: 'log.example.com/tlog', verifiers: [textVerifier(parseVkey(vectors.logVkey), nodeSignatureCheck)] },
    ],
    sha256: nativeSha256,
    nowMs: () => nowMs,
    onFatal: (error) => unexpected.push(error),
  })
  app = createWitnessApp({
    times: { answerMs: 25_000, paceMs: 10_000 },
    bodyBudget: new ByteBudget(3 * addCheckpointBytesMax),
    addCheckpoint: (body) => witness.addCheckpoint(body),
    readCheckpoint: (id) => witness.readCheckpoint(id),
    witnessMetrics: createWitnessMetrics(() => witness.logs),
    onUnexpected: (error) => unexpected.push(error),
    onRefused: () => {},
    metrics: createMetrics(() => {
      throw new Error('nobody asks')
    }),
  })
})
afterEach(async () => {
  await witness.close()
  await rm(dataDir, { recursive: true })
  expect(unexpected.splice(0)).toEqual([])
})

const add = (body: string): Promise<Response> =>
  Promise.resolve(app.request('/add-checkpoint', { method: 'POST', body }))

/** Grows it as the vectors do, up to a size. */
async function growTo(size: number): Promise<void> {
  let at = 0
  for (const { witnessSizeBefore, request, status } of vectors.steps) {
    if (at === size || status !== 200 || witnessSizeBefore !== at) continue
    expect((await add(request)).status).toBe(200)
    at = Number(request.split('\n\n')[1]?.split('\n')[1])
  }
  expect(at).toBe(size)
}

describe('POST /add-checkpoint', () => {
  test.each(vectors.steps)(
    'answers $status: $why',
    async ({ witnessSizeBefore, request, status, response, contentType }) => {
      await growTo(witnessSizeBefore)
      if (status === 200) nowMs = 1_000 * (parseSignatureLines(response ?? '').map(cosignatureTime)[0] ?? 0)
      const answer = await add(request)
      expect(answer.status).toBe(status)
      if (response !== undefined) expect(await answer.text()).toBe(response)
      else expect((await answer.text()).endsWith('\n')).toBe(true)
      if (contentType !== undefined) expect(answer.headers.get('content-type')).toBe(contentType)
    },
  )

  test('takes no more than a request can have', async () => {
    expect((await add('x'.repeat(addCheckpointBytesMax + 1))).status).toBe(413)
  })
})

test('monitors read what was cosigned last by the hash of the origin', async () => {
  expect((await app.request(vectors.monitoringPath)).status).toBe(404)
  await growTo(5)
  const answer = await app.request(vectors.monitoringPath)
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, '*'])
  const note = await answer.text()
  expect(note).toMatch(/^log\.example\.com\/tlog\n5\n.+\n\n— log\.example\.com\/tlog .*\n— witness\.example\/w1 .*\n$/)
  for (const other of [`/${'0'.repeat(64)}/checkpoint`, '/checkpoint', '/']) {
    expect((await app.request(other)).status).toBe(404)
  }
})

test('it is alive, and tells what it answered and how far each log was cosigned', async () => {
  expect(await (await app.request('/healthz')).json()).toEqual({ status: 'alive' })
  const metrics = async (): Promise<string> => {
    const answer = await app.request('/metrics')
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4')
    return answer.text()
  }
  const size = 'dendrolog_witness_server_size{origin="log.example.com/tlog"}'
  expect(await metrics()).toContain(`${size} 0`)
  const [first] = vectors.steps.filter(
    ({ status, request }) => status === 200 && !request.includes('\n\nlog.example.com/tlog\n0\n'),
  ) as [Step]
  nowMs = 1_700_000_000_000
  await app.request('/add-checkpoint', { method: 'POST', body: first.request })
  await app.request('/add-checkpoint', { method: 'POST', body: 'nonsense' })
  const said = await metrics()
  expect(said).toContain('dendrolog_witness_server_answers_total{outcome="cosigned"} 1')
  expect(said).toContain('dendrolog_witness_server_answers_total{outcome="400"} 1')
  expect(said).toContain(`${size} ${first.request.split('\n\n')[1]?.split('\n')[1]}\n`)
  expect(said).toContain(
    'dendrolog_witness_server_cosigned_timestamp_seconds{origin="log.example.com/tlog"} 1700000000',
  )
})
