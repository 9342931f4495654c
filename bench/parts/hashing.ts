// All hashes that make a submission an entry, taken from the real path and done again with nothing else around them.

import { makeId } from '../../src/ingest/make-id.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { Arena } from '../../src/log/arena.ts'
import { integrate } from '../../src/log/integrate.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { emptyRoot, type Hash, type Sha256 } from '../../tlog/hash.ts'
import { emptyEdge } from '../../tlog/tree-edge.ts'
import { eventJson, payloadBytes } from '../events.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { batchEntries } from '../plan.ts'
import { provenanceContext } from '../submissions.ts'

const repetitions = 5
const bigBytes = 1_048_576
const bigHashes = 512
const payloadHashes = 200_000
const entriesPerSecond = 20_000

export async function measureHashing({ progress }: PartContext): Promise<Findings> {
  progress('hashing')
  const list = new FindingsList()
  const calls = recordCalls()
  for (const kind of hashKinds) list.add(`hashing.${kind}Calls`, calls.counts[kind] / batchEntries)
  // The first round compiles and is not counted.
  for (let i = 0; i <= repetitions; i++) {
    const speed = bigBytes / timeOf(new Uint8Array(bigBytes), bigHashes)
    const payload = timeOf(new Uint8Array(payloadBytes), payloadHashes)
    const entry = replay(calls) / batchEntries
    if (i === 0) continue
    list.add('hashing.speed', speed)
    list.add('hashing.payload', payload)
    list.add('hashing.entry', entry)
    list.add('hashing.share', (entry * entriesPerSecond) / 1e7)
  }
  return list.findings
}

const hashKinds = ['payload', 'chain', 'leaf', 'node'] as const
type HashKind = (typeof hashKinds)[number]

/** The inputs of a batch's hashes, one behind the other: input i is bytes[ends[i - 1], ends[i]). */
type Calls = { readonly bytes: Uint8Array; readonly ends: readonly number[]; readonly counts: Record<HashKind, number> }

/** What a full batch hashes, from the records' bytes to the new root. */
function recordCalls(): Calls {
  const chunks: Uint8Array[] = []
  const ends: number[] = []
  const counts = { payload: 0, chain: 0, leaf: 0, node: 0 }
  let total = 0
  const recording: Sha256 = (data, start, end, out, outStart) => {
    chunks.push(data.slice(start, end))
    total += end - start
    ends.push(total)
    counts[kindOf(data[start])]++
    nativeSha256(data, start, end, out, outStart)
  }
  const reader = new RecordReader()
  const context = { ...provenanceContext, makeId, sha256: recording }
  const submissions = Array.from({ length: batchEntries }, (_, i) => {
    const bytes = Buffer.from(eventJson(i), 'latin1')
    return reader.read(bytes, 0, bytes.length, new Arena(bytes.length), context)
  })
  const before = { edge: emptyEdge, root: emptyRoot, chainHash: new Uint8Array(32) as Hash, newestTimestamp: 0 }
  integrate(before, submissions, 1, recording)
  return { bytes: Buffer.concat(chunks, total), ends, counts }
}

/** Inputs tell themselves apart: a payload is an object, a leaf and a node have their prefix, a chain text a number. */
function kindOf(firstByte: number | undefined): HashKind {
  switch (firstByte) {
    case 0x7b:
      return 'payload'
    case 0x00:
      return 'leaf'
    case 0x01:
      return 'node'
    default:
      return 'chain'
  }
}

const out = new Uint8Array(32)

/** Nanoseconds for all hashes of the batch. */
function replay({ bytes, ends }: Calls): number {
  const startedAt = process.cpuUsage()
  let start = 0
  for (const end of ends) {
    nativeSha256(bytes, start, end, out, 0)
    start = end
  }
  return nanosecondsSince(startedAt)
}

/** Nanoseconds for one hash of `data`, mean of `count`. */
function timeOf(data: Uint8Array, count: number): number {
  const startedAt = process.cpuUsage()
  for (let i = 0; i < count; i++) nativeSha256(data, 0, data.length, out, 0)
  return nanosecondsSince(startedAt) / count
}

/** Time on a core, not on the clock: what others do on the machine does not count. */
function nanosecondsSince(startedAt: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(startedAt)
  return (user + system) * 1_000
}
