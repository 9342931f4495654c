// What was loaded must also be there: published, as many as were acknowledged, and provable.
import { setTimeout as sleep } from 'node:timers/promises'
import { nativeSha256 } from '../src/ops/native-sha256.ts'
import { nodeSignatureCheck } from '../src/ops/signing.ts'
import { encodeUtf8, parseBase64 } from '../tlog/bytes.ts'
import { type CheckpointBody, openCheckpoint } from '../tlog/checkpoint.ts'
import { asLeafIndex, asTreeSize } from '../tlog/coords.ts'
import { type NoteVerifier, textVerifier } from '../tlog/note.ts'
import { parseVkey } from '../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../tlog/receipt.ts'
import { checkConsistency, checkInclusion } from '../tlog/verify.ts'
import { randomOf } from './events.ts'
import type { ServerProcess } from './server-process.ts'

const sampleSize = 200
const publishedWithinMs = 30_000

/** Reads the server's checkpoint and checks its signature. */
export async function readCheckpoint({ url }: ServerProcess, verifier: NoteVerifier): Promise<CheckpointBody> {
  const note = await readText(`${url}/checkpoint`)
  return openCheckpoint(encodeUtf8(note), verifier.name, [verifier]).checkpoint
}

/** The log's key as the server names it. */
export async function readVerifier({ url }: ServerProcess): Promise<NoteVerifier> {
  const { vkey } = JSON.parse(await readText(`${url}/v1/log`)) as { vkey: string }
  return textVerifier(parseVkey(vkey), nodeSignatureCheck)
}

/** Resolves with the first checkpoint of at least `size` entries. */
export async function waitPublished(
  server: ServerProcess,
  verifier: NoteVerifier,
  size: number,
): Promise<CheckpointBody> {
  const deadline = performance.now() + publishedWithinMs
  while (performance.now() < deadline) {
    const checkpoint = await readCheckpoint(server, verifier)
    if (checkpoint.size >= size) return checkpoint
    await sleep(10)
  }
  throw new Error(`${size} entries were acknowledged, but no checkpoint has so many`)
}

/** Throws unless 200 entries chosen at random are proven to be in the tree of a signed checkpoint. */
export async function checkSample(server: ServerProcess, verifier: NoteVerifier, size: number): Promise<void> {
  const random = randomOf(size)
  for (let i = 0; i < Math.min(sampleSize, size); i++) {
    await checkProof(server, verifier, Math.floor(random() * size) + 1)
  }
}

/** Throws unless the new checkpoint extends the old one, which was read before or during the load. */
export async function checkExtends(server: ServerProcess, from: CheckpointBody, to: CheckpointBody): Promise<void> {
  if (from.size === 0) return
  const text = await readText(`${server.url}/v1/proofs/consistency?from=${from.size}&to=${to.size}`)
  const { hashes } = JSON.parse(text) as { hashes: string[] }
  checkConsistency(from.size, to.size, from.root, to.root, hashes.map(parseBase64), nativeSha256)
}

/** Posts one event and checks its receipt as a client would. */
export async function checkOneReceipt(server: ServerProcess, verifier: NoteVerifier, event: string): Promise<void> {
  const token = await server.readToken('writer')
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const answer = await fetch(`${server.url}/v1/entries`, { method: 'POST', headers, body: event })
  if (answer.status !== 201) throw new Error(`POST /v1/entries: ${answer.status}`)
  checkReceipt(parseReceipt(new Uint8Array(await answer.arrayBuffer())), verifier, nativeSha256)
}

type ProofAnswer = {
  readonly leafHash: string
  readonly inclusionProof: { readonly leafIndex: number; readonly treeSize: number; readonly hashes: string[] }
  readonly checkpoint: string
}

async function checkProof({ url }: ServerProcess, verifier: NoteVerifier, sequenceNumber: number): Promise<void> {
  const answer = JSON.parse(await readText(`${url}/v1/entries/${sequenceNumber}/proof`)) as ProofAnswer
  const { checkpoint } = openCheckpoint(encodeUtf8(answer.checkpoint), verifier.name, [verifier])
  const { leafIndex, treeSize, hashes } = answer.inclusionProof
  if (leafIndex !== sequenceNumber - 1 || treeSize !== checkpoint.size) throw new Error(`proof of ${sequenceNumber}`)
  const index = asLeafIndex(leafIndex)
  const leaf = parseBase64(answer.leafHash)
  checkInclusion(index, asTreeSize(treeSize), leaf, hashes.map(parseBase64), checkpoint.root, nativeSha256)
}

async function readText(url: string): Promise<string> {
  const answer = await fetch(url)
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${(await answer.text()).slice(0, 200)}`)
  return answer.text()
}
