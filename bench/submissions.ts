// The server's own path from bytes to rows, without the server: what is copied is what it would copy.
import { makeId } from '../src/ingest/make-id.ts'
import { type RecordContext, RecordReader } from '../src/ingest/record.ts'
import { readNdjson } from '../src/ingest/records.ts'
import { type Batch, integrate, type LogState } from '../src/log/integrate.ts'
import type { Utf8 } from '../src/log/submission.ts'
import { nativeSha256 } from '../src/ops/native-sha256.ts'
import { encodeUtf8 } from '../tlog/bytes.ts'
import { emptyRoot, type Hash } from '../tlog/hash.ts'
import { emptyEdge } from '../tlog/tree-edge.ts'
import { NdjsonBody } from './events.ts'
import { batchEntries } from './plan.ts'

/** As of a request over HTTP with the writer's token. */
export const provenanceContext: RecordContext = {
  provenance: { writer: utf8('token:writer'), sourcePosition: utf8('http:127.0.0.1') },
  peerAddress: utf8('127.0.0.1'),
  makeId,
  sha256: nativeSha256,
}

const firstState: LogState = {
  edge: emptyEdge,
  root: emptyRoot,
  chainHash: new Uint8Array(32) as Hash,
  newestTimestamp: 0,
}

/** Full batches of a new log, one on top of the other, in memory: about 1.4 kB an entry. */
export async function makeBatches(count: number, startMs: number): Promise<readonly Batch[]> {
  const reader = new RecordReader()
  const batches: Batch[] = []
  let state = firstState
  for (let i = 0; i < count; i++) {
    const body = new NdjsonBody(i, batchEntries, false)
    const { submissions, refused, arena } = await readNdjson(
      reader,
      body.bytes,
      { recordsMax: batchEntries },
      provenanceContext,
    )
    if (refused.length > 0) throw new Error(`a made-up event was refused: ${refused[0]?.detail}`)
    const batch = integrate(state, submissions, (startMs + i) * 1_000, nativeSha256)
    arena.release()
    batches.push(batch)
    state = batch.after
  }
  return batches
}

function utf8(text: string): Utf8 {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}
