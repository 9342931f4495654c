/** Checks after a crash: what was acknowledged against the table, and the whole log against its own hashes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientConfig } from 'pg'
import { expect } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { type Checkpoint, openCheckpoint, parseCheckpoint } from '../../tlog/checkpoint.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { asHash } from '../../tlog/hash.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkConsistency, checkInclusion } from '../../tlog/verify.ts'
import { checkLog, type LogSummary } from '../support/check-log.ts'
import type { Load } from './load.ts'
import { verifyChain } from './outsider.ts'

type Identity = { readonly origin: string; readonly vkey: string; readonly sthPublicKey: string }

const publishMs = 30_000

/** Gives a connection to `work` and ends it. */
export async function withClient<T>(config: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ ...config, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Every acknowledged id is there at its index; no id is there twice, none that was never sent but the log's own; no place is left out. */
export async function expectAcknowledged(client: Client, load: Load): Promise<void> {
  const { rows } = await client.query<{ event_id: string; sequence_number: string; action: string }>(
    'select event_id, sequence_number, action from security.audit_logs order by sequence_number',
  )
  const indexes = new Map(rows.map((row, i) => [row.event_id, i]))
  const wrong = [...load.acknowledged].filter(([id, index]) => indexes.get(id) !== index)
  expect(load.contradictions).toEqual([])
  expect(rows.map((row) => Number(row.sequence_number) - 1).filter((index, i) => index !== i)).toEqual([])
  expect(indexes.size).toBe(rows.length)
  expect(wrong).toEqual([])
  expect(rows.filter((row) => !load.sent.has(row.event_id) && !row.action.startsWith('dendrolog.'))).toEqual([])
}

/**
 * The chain as an outsider reads it, then everything else. Returns how many entries there are, all of them published.
 * An entry of the log's own may come in between: then once more.
 */
export async function expectWholeLog(config: ClientConfig, url: string): Promise<number> {
  return (await checkWholeLog(config, url)).size
}

/** As `expectWholeLog`, and what was found. */
export async function checkWholeLog(config: ClientConfig, url: string): Promise<LogSummary> {
  const { origin, vkey, sthPublicKey } = await readIdentity(url)
  for (let triesLeft = 5; ; triesLeft--) {
    const count = await withClient(config, verifyChain)
    await waitForCheckpoint(url, count)
    const summary = await checkLog({ reader: config, origin, vkey, sthPublicKey })
    if (summary.size > count && triesLeft > 0) continue
    expect([summary.size, summary.publishedSize]).toEqual([count, count])
    return summary
  }
}

/**
 * A server publishes the tree that was checked, or one that begins with it, and proves `samples` of its leaves, first and
 * last among them, to be in there.
 */
export async function expectServes(url: string, checked: LogSummary, samples = 100): Promise<void> {
  await waitForCheckpoint(url, checked.size)
  const { size, root } = await readCheckpoint(url)
  const ours = { size: asTreeSize(checked.size), root: asHash(checked.root) }
  const hashes = await readHashes(`${url}/v1/proofs/consistency?from=${ours.size}&to=${size}`)
  checkConsistency(ours.size, size, ours.root, root, hashes)
  const last = checked.size - 1
  const indexes = new Set(Array.from({ length: samples }, (_, i) => Math.round((i * last) / (samples - 1))))
  for (const index of indexes) {
    const proof = await readHashes(`${url}/v1/proofs/inclusion?index=${index}&size=${size}`)
    checkInclusion(asLeafIndex(index), size, asHash(checked.leaves[index] ?? new Uint8Array()), proof, root)
  }
}

/** Signed by the log's key. */
async function readCheckpoint(url: string): Promise<Checkpoint> {
  const { origin, vkey } = await readIdentity(url)
  const note = new Uint8Array(await (await fetch(`${url}/checkpoint`)).arrayBuffer())
  return openCheckpoint(note, origin, [textVerifier(parseVkey(vkey), nodeSignatureCheck)]).checkpoint
}

async function readHashes(url: string): Promise<ReturnType<typeof asHash>[]> {
  const answer = await fetch(url)
  expect(answer.status, url).toBe(200)
  const { hashes } = (await answer.json()) as { hashes: string[] }
  return hashes.map((hash) => asHash(parseBase64(hash)))
}

async function readIdentity(url: string): Promise<Identity> {
  return (await (await fetch(`${url}/v1/log`)).json()) as Identity
}

async function waitForCheckpoint(url: string, size: number): Promise<void> {
  const deadline = performance.now() + publishMs
  while (performance.now() < deadline) {
    const note = await (await fetch(`${url}/checkpoint`)).text()
    const checkpoint = parseCheckpoint(note.slice(0, note.indexOf('\n\n') + 1))
    if (checkpoint.size >= size) return
    await sleep(50)
  }
  throw new Error(`no checkpoint of ${size} entries after ${publishMs} ms`)
}
