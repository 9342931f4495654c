import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkMlDsa44, mlDsa44SignerFromSeed } from '../../src/ops/ml-dsa.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { monitoringId, Witness } from '../../src/witness/witness.ts'
import { formatAddCheckpoint } from '../../tlog/add-checkpoint.ts'
import { decodeUtf8, encodeUtf8, parseHex } from '../../tlog/bytes.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { cosignatureTime, cosignatureVerifier } from '../../tlog/cosignature.ts'
import { asHash } from '../../tlog/hash.ts'
import { openNote, parseSignatureLines, signNote, textVerifier } from '../../tlog/note.ts'
import { namedKey } from '../../tlog/note-key.ts'

type Step = { why: string; witnessSizeBefore: number; request: string; status: number; response?: string }

const vectorsPath = new URL('../vectors/checkpoint/witness-add-checkpoint.json', import.meta.url)
const { steps } = JSON.parse(readFileSync(vectorsPath, 'utf8')) as { steps: Step[] }
const keysPath = new URL('../vectors/note/keys.json', import.meta.url)
const { keys } = JSON.parse(readFileSync(keysPath, 'utf8')) as {
  keys: { name: string; type: number; seedHex: string }[]
}

const seedOf = (name: string, type: number): Uint8Array =>
  parseHex(keys.find((key) => key.name === name && key.type === type)?.seedHex ?? '')
const logSigner = ed25519SignerFromSeed(seedOf('log.example.com/tlog', 1))
const witnessSigner = ed25519SignerFromSeed(seedOf('witness.example/w1', 4))
const witnessKey = namedKey('witness.example/w1', 4, witnessSigner.publicKey)
const pqSigner = mlDsa44SignerFromSeed(seedOf('witness.example/pq', 6))
const pqKey = namedKey('witness.example/pq', 6, pqSigner.publicKey)
const origin = 'log.example.com/tlog'

let dataDir: string
let witness: Witness
let nowMs: number
let fatal: unknown[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-witness-'))
  nowMs = 1_700_000_000_000
  fatal = []
  witness = await open()
})
afterEach(async () => {
  await witness.close().catch(() => {})
  await rm(dataDir, { recursive: true })
})

function verifierOf(name: string) {
  return textVerifier(namedKey(name, 1, logSigner.publicKey), nodeSignatureCheck)
}

function open(origins: readonly string[] = [origin]): Promise<Witness> {
  return Witness.open({
    dataDir,
    keys: [
      { key: witnessKey, sign: witnessSigner.sign },
      { key: pqKey, sign: pqSigner.sign },
    ],
    logs: origins.map((name) => ({ origin: name, verifiers: [verifierOf(name)] })),
    sha256: nativeSha256,
    nowMs: () => nowMs,
    onFatal: (error) => fatal.push(error),
  })
}

/** A first checkpoint of a log, whatever is in it. */
function firstOf(name: string, size: number, fill: number): Uint8Array {
  const text = formatCheckpoint({ origin: name, size: asTreeSize(size), root: asHash(new Uint8Array(32).fill(fill)) })
  const { keyId } = namedKey(name, 1, logSigner.publicKey)
  const note = signNote(text, [{ name, keyId, sign: logSigner.sign }])
  return formatAddCheckpoint({ old: asTreeSize(0), proof: [], note })
}

test('a witness that grows as in the vectors gives their lines, and remembers over restarts', async () => {
  let size = 0
  for (const step of steps) {
    if (step.witnessSizeBefore !== size) continue
    witness = await witness.close().then(() => open())
    if (step.status === 200) nowMs = 1_000 * (parseSignatureLines(step.response ?? '').map(cosignatureTime)[0] ?? 0)
    const answer = await witness.addCheckpoint(encodeUtf8(step.request))
    expect(answer, step.why).toMatchObject(
      step.status === 200 ? { kind: 'cosigned', lines: expect.any(String) } : { kind: 'refused', status: step.status },
    )
    if (answer.kind === 'refused') continue
    const text = step.request.slice(step.request.indexOf('\n\n') + 2).split('\n\n')[0] ?? ''
    size = Number(text.split('\n')[1])
    expect(answer.lines.split('\n')[0]).toBe(step.response?.trimEnd())
    const check = { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 }
    const note = witness.readCheckpoint(monitoringId(origin))
    const opened = openNote(note ?? new Uint8Array(), [
      verifierOf(origin),
      cosignatureVerifier(witnessKey, check),
      cosignatureVerifier(pqKey, check),
    ])
    expect([opened.verified.length, opened.unverified.length, opened.text]).toEqual([3, 0, `${text}\n`])
  }
  expect(size).toBe(300)
})

test('of requests that come at once one is cosigned a size, whatever their order', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => witness.addCheckpoint(firstOf(origin, 7, i % 2))),
  )
  const roots = new Set(answers.flatMap((answer, i) => (answer.kind === 'cosigned' ? [i % 2] : [])))
  expect(roots.size).toBe(1)
  expect(answers.filter(({ kind }) => kind === 'cosigned')).toHaveLength(1)
  expect(answers.filter((answer) => answer.kind === 'refused' && answer.knownSize === 7)).toHaveLength(19)
})

test('each log is witnessed on its own, and one that is taken off the list is remembered', async () => {
  const names = Array.from({ length: 50 }, (_, i) => `log${i}.example`)
  await witness.close()
  witness = await open(names)
  const answers = await Promise.all(names.map((name, i) => witness.addCheckpoint(firstOf(name, i + 1, i))))
  expect(answers.every(({ kind }) => kind === 'cosigned')).toBe(true)
  await witness.close()
  witness = await open([origin])
  expect(await witness.addCheckpoint(firstOf('log7.example', 8, 7))).toMatchObject({ status: 404 })
  await witness.close()
  witness = await open(names)
  expect(await witness.addCheckpoint(firstOf('log7.example', 9, 1))).toMatchObject({ status: 409, knownSize: 8 })
  expect(decodeUtf8(witness.readCheckpoint(monitoringId('log7.example')) ?? new Uint8Array())).toContain('\n8\n')
  expect(witness.readCheckpoint(monitoringId(origin))).toBeUndefined()
})

test('the time of a cosignature is that of the answer, in seconds', async () => {
  nowMs = 1_800_000_000_999
  const answer = await witness.addCheckpoint(firstOf(origin, 3, 1))
  const lines = answer.kind === 'cosigned' ? parseSignatureLines(answer.lines) : []
  expect(lines.map(cosignatureTime)).toEqual([1_800_000_000, 1_800_000_000])
})

test('what cannot be made durable is not answered, and nothing is cosigned any more', async () => {
  await witness.close()
  await expect(witness.addCheckpoint(firstOf(origin, 3, 1))).rejects.toThrow('cannot be made durable')
  await expect(witness.addCheckpoint(firstOf(origin, 3, 1))).rejects.toThrow('cannot be made durable')
  expect(fatal).toHaveLength(1)
  expect(witness.readCheckpoint(monitoringId(origin))).toBeUndefined()
})
