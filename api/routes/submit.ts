import type { Context, Hono } from 'hono'
import type { Principal } from '../../src/auth/principal.ts'
import { type RecordContext, RecordReader } from '../../src/ingest/record.ts'
import { type Records, readArray, readNdjson } from '../../src/ingest/records.ts'
import { conflictDetail, submitRecords } from '../../src/ingest/submit.ts'
import { Arena } from '../../src/log/arena.ts'
import { type EntryWithLeaf, entryJson, placedEntry, receiptJson, storedEntry } from '../../src/log/receipt.ts'
import type { Submission, Utf8 } from '../../src/log/submission.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { skipSpace } from '../../tlog/json-scan.ts'
import { requireRole } from '../authenticate.ts'
import { readBody } from '../body.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

type Wait = 'integrated' | 'published'

const openBracket = 0x5b

/** `POST /v1/entries`: one JSON object, an array of them, or NDJSON. */
export function routeSubmit(app: Hono<Env>, server: Server): void {
  const reader = new RecordReader()
  app.post('/v1/entries', async (c) => {
    const principal = await requireRole(server, c, 'writer')
    const type = mediaType(c)
    const wait = readWait(c)
    const body = await readBody(c, server.limits.bodyBytesMax)
    const context = recordContext(server, c, principal)
    if (type === 'application/x-ndjson') {
      return submitMany(server, c, body, wait, principal, await readNdjson(reader, body, recordsMax(server), context))
    }
    if (body[skipSpace(body, 0, body.length)] === openBracket) {
      return submitMany(server, c, body, wait, principal, await readArray(reader, body, recordsMax(server), context))
    }
    const submission = reader.read(body, 0, body.length, new Arena(3 * body.length), context)
    return submitOne(server, c, submission, wait ?? 'published')
  })
}

async function submitOne(server: Server, c: Context<Env>, submission: Submission, wait: Wait): Promise<Response> {
  const placement = await server.door.submit([submission])
  const known = placement.known[0]
  if (known?.kind === 'conflict') {
    throw new Problem('idempotency-conflict', conflictDetail(known.sequenceNumber), { pointer: '/id' })
  }
  const status = known === undefined ? 201 : 200
  const entry =
    known === undefined ? placedEntry(submission, placement, 0) : await readStored(server, known.sequenceNumber)
  return answer(c, status, await entryAnswer(server, entry, wait))
}

async function entryAnswer(server: Server, entry: EntryWithLeaf, wait: Wait): Promise<string> {
  if (wait === 'integrated') return `{"entry":${entryJson(entry)}}`
  const checkpoint = await server.log.waitForCheckpoint(entry.fields.sequenceNumber)
  return receiptJson(server.log.tiles, entry, checkpoint, server.hash)
}

async function readStored(server: Server, sequenceNumber: number): Promise<EntryWithLeaf> {
  const stored = await server.readEntry(sequenceNumber)
  if (stored === undefined) throw new Error(`entry ${sequenceNumber} is known, but not in the ledger`)
  return storedEntry(stored)
}

async function submitMany(
  server: Server,
  c: Context<Env>,
  body: Uint8Array,
  wait: Wait | undefined,
  principal: Principal,
  records: Records,
): Promise<Response> {
  const result = await submitRecords(server.door, body, records, principal.identity)
  if (wait === 'published' && result.lastIndex !== null) await server.log.waitForCheckpoint(result.lastIndex + 1)
  return answer(c, 200, JSON.stringify(result))
}

function answer(c: Context<Env>, status: 200 | 201, json: string): Response {
  return c.body(json, status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
}

function recordsMax(server: Server): number {
  return server.limits.recordsMax
}

function mediaType(c: Context<Env>): string {
  const type = (c.req.header('content-type') ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/json' || type === 'application/x-ndjson') return type
  if (type === 'application/jsonl' || type === 'application/ndjson') return 'application/x-ndjson'
  throw new Problem('unsupported-media-type', 'want application/json or application/x-ndjson')
}

function readWait(c: Context<Env>): Wait | undefined {
  const wait = c.req.query('wait')
  if (wait === undefined || wait === 'integrated' || wait === 'published') return wait
  if (wait === 'witnessed') throw new Problem('no-witnesses', 'this log has no witnesses', { parameter: 'wait' })
  throw new Problem('malformed-parameter', 'want integrated or published', { parameter: 'wait' })
}

function recordContext(server: Server, c: Context<Env>, principal: Principal): RecordContext {
  const address = peerAddress(c)
  return {
    provenance: { writer: utf8(principal.identity), sourcePosition: utf8(`http:${address}`) },
    peerAddress: utf8(address),
    makeId: server.door.makeId,
    sha256: server.hash,
  }
}

/** The peer's address, IPv4-mapped ones as IPv4, without a zone; `::` where there is no peer. */
function peerAddress(c: Context<Env>): string {
  const address = c.env?.incoming?.socket?.remoteAddress ?? '::'
  const plain = address.split('%')[0] ?? '::'
  return plain.startsWith('::ffff:') && plain.includes('.') ? plain.slice(7) : plain
}

function utf8(text: string): Utf8 {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}
