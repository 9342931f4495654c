import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CheckpointToCosign, WitnessClient } from '../../src/cosign/client.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ed25519SignerFromSeed, generateEd25519Seed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { type Answer, Witness } from '../../src/witness/witness.ts'
import { parseAddCheckpoint, sizeMediaType } from '../../tlog/add-checkpoint.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { cosign, cosignatureVerifier } from '../../tlog/cosignature.ts'
import { formatSignatureLine, parseNote, signNote, textVerifier } from '../../tlog/note.ts'
import { namedKey } from '../../tlog/note-key.ts'
import { entriesOf, referenceTree } from '../tlog/reference-tree.ts'

// A log's side of a witness, over HTTP: a real one, and those that are not what they should be.

const origin = 'log.example/client'
const logSigner = ed25519SignerFromSeed(generateEd25519Seed())
const witnessSigner = ed25519SignerFromSeed(generateEd25519Seed())
const logKey = namedKey(origin, 1, logSigner.publicKey)
const witnessKey = namedKey('witness.example', 4, witnessSigner.publicKey)
const verifier = cosignatureVerifier(witnessKey, nodeSignatureCheck)
const tree = referenceTree(entriesOf(100))
/** With another first entry. */
const otherTree = referenceTree([encodeUtf8('another'), ...entriesOf(100).slice(1)])
const signal = new AbortController().signal

let dataDir: string
let witness: Witness
const servers: Server[] = []

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-witness-'))
  witness = await Witness.open({
    dataDir,
    keys: [{ key: witnessKey, sign: witnessSigner.sign }],
    logs: [{ origin, verifiers: [textVerifier(logKey, nodeSignatureCheck)] }],
    sha256: nativeSha256,
    nowMs: Date.now,
    onFatal: (error) => {
      throw error
    },
  })
})
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
  await witness.close()
  await rm(dataDir, { recursive: true })
})

async function listen(listener: RequestListener): Promise<URL> {
  const server = createServer(listener)
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix/`)
}

const real: RequestListener = async (request, response) => {
  expect(request.url).toBe('/prefix/add-checkpoint')
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const answer: Answer = await witness.addCheckpoint(Buffer.concat(chunks))
  if (answer.kind === 'cosigned') response.end(answer.lines)
  else if (answer.knownSize === undefined) response.writeHead(answer.status).end(answer.reason)
  else response.writeHead(answer.status, { 'content-type': sizeMediaType }).end(`${answer.knownSize}\n`)
}

/** A checkpoint of the first entries. */
function checkpointOf(size: number, of = tree): CheckpointToCosign {
  const root = of.root(0, size)
  const text = formatCheckpoint({ origin, size: asTreeSize(size), root })
  const note = signNote(text, [{ name: origin, keyId: logKey.keyId, sign: logSigner.sign }])
  return { size: asTreeSize(size), note, prove: async (from) => of.proof(from, size) }
}

function clientOf(url: URL, knownSize = 0, options: { readonly skewMaxMs?: number } = {}): WitnessClient {
  return new WitnessClient(
    {
      ...{ url, verifiers: [verifier], nowMs: Date.now, timeoutMs: 500, skewMaxMs: 60_000, ...options },
    },
    asTreeSize(knownSize),
  )
}

describe('a witness', () => {
  test('cosigns what grows, and the same again', async () => {
    const client = clientOf(await listen(real))
    for (const size of [0, 1, 7, 7, 8, 100]) {
      const { note } = checkpointOf(size)
      const asked = await client.ask(checkpointOf(size), signal)
      expect(asked).toMatchObject({ kind: 'cosigned', signatures: [{ name: 'witness.example' }] })
      const signature = asked.kind === 'cosigned' ? asked.signatures[0]?.signature : undefined
      expect(verifier.verify(encodeUtf8(parseNote(note).text), signature ?? new Uint8Array())).toBe(true)
      expect(client.knownSize).toBe(size)
    }
  })

  test('that knows more or less than was thought is asked again from there', async () => {
    const url = await listen(real)
    await clientOf(url).ask(checkpointOf(50), signal)
    for (const thought of [0, 20, 60]) {
      const client = clientOf(url, thought)
      expect(await client.ask(checkpointOf(70), signal)).toMatchObject({ kind: 'cosigned' })
      expect(client.knownSize).toBe(70)
    }
  })

  test('that has cosigned a larger tree than there is says so', async () => {
    const url = await listen(real)
    await clientOf(url).ask(checkpointOf(50), signal)
    expect(await clientOf(url).ask(checkpointOf(40), signal)).toEqual({ kind: 'ahead', knownSize: 50 })
  })

  test.each([50, 60])('that has cosigned another history keeps the request as evidence, at %i', async (size) => {
    const url = await listen(real)
    await clientOf(url).ask(checkpointOf(50), signal)
    const other = checkpointOf(size, otherTree)
    const asked = await clientOf(url).ask(other, signal)
    expect(asked).toMatchObject({ kind: 'conflict', reason: expect.stringContaining('status 422') })
    const request = asked.kind === 'conflict' ? parseAddCheckpoint(asked.request) : undefined
    expect(request?.note).toEqual(other.note)
  })
})

describe('no cosignature is', () => {
  const line = (key = witnessKey, timeS = Math.floor(Date.now() / 1_000), size = 9): string => {
    const { note } = checkpointOf(size)
    return formatSignatureLine(cosign({ key, sign: witnessSigner.sign }, parseNote(note).text, timeS))
  }
  const other = namedKey('another.example', 4, witnessSigner.publicKey)
  const now = Math.floor(Date.now() / 1_000)
  const answers: [string, RequestListener, RegExp][] = [
    ['an error', (_, response) => response.writeHead(500).end('oh\n'), /status 500: oh/],
    ['a page', (_, response) => response.end('<html><body>hello</body></html>'), /malformed|note|signature/],
    ['nothing', (_, response) => response.end(), /signature/],
    ['half a line', (_, response) => response.end(line().slice(0, 40)), /signature|newline/],
    [
      'a line that was cut off',
      (_, response) => void response.writeHead(200, { 'content-length': 500 }).write(line(), () => response.destroy()),
      /no answer/,
    ],
    ['of another key', (_, response) => response.end(line(other)), /no cosignature/],
    ['of another checkpoint', (_, response) => response.end(line(witnessKey, now, 8)), /no cosignature/],
    ['long ago', (_, response) => response.end(line(witnessKey, now - 3_600)), /far from now/],
    ['in the future', (_, response) => response.end(line(witnessKey, now + 3_600)), /far from now/],
    ['of milliseconds', (_, response) => response.end(line(witnessKey, now * 1_000)), /far from now/],
    ['a redirect', (_, response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(), /status 307/],
    ['no answer', () => {}, /no answer within 500 ms/],
    [
      'no size with 409',
      (_, response) => response.writeHead(409, { 'content-type': sizeMediaType }).end('x\n'),
      /no size/,
    ],
  ]
  test.each(answers)('%s', async (_, listener, reason) => {
    const client = clientOf(await listen(listener))
    expect(await client.ask(checkpointOf(9), signal)).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(reason),
    })
    expect(client.knownSize).toBe(0)
  })

  test('a hundred megabytes: no more is read than an answer can have', async () => {
    let sent = 0
    const listener: RequestListener = (_, response) => {
      const chunk = Buffer.alloc(65_536, 'x')
      const write = (): void => {
        while (sent < 100_000_000 && !response.destroyed) {
          sent += chunk.length
          if (!response.write(chunk)) {
            response.once('drain', write)
            return
          }
        }
        response.end()
      }
      write()
    }
    expect(await clientOf(await listen(listener)).ask(checkpointOf(9), signal)).toMatchObject({ kind: 'failed' })
    expect(sent).toBeLessThan(50_000_000)
  })

  test('of one that answers another size each time; it is not asked for ever', async () => {
    let asked = 0
    const listener: RequestListener = (_, response) =>
      response.writeHead(409, { 'content-type': sizeMediaType }).end(`${++asked}\n`)
    expect(await clientOf(await listen(listener)).ask(checkpointOf(9), signal)).toMatchObject({ kind: 'failed' })
    expect(asked).toBe(3)
  })

  test('409 without a size: as of the first version, it has another root', async () => {
    const client = clientOf(await listen((_, response) => response.writeHead(409).end('another root')))
    expect(await client.ask(checkpointOf(9), signal)).toMatchObject({ kind: 'conflict' })
  })
})
