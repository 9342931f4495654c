import type { Context, Hono } from 'hono'
import type { Principal } from '../../src/auth/principal.ts'
import { isCborArray, readCborArray, readCborRecord, readCborSequence } from '../../src/ingest/cbor-records.ts'
import { quarantineBody } from '../../src/ingest/quarantine.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { type Records, readArray, readNdjson } from '../../src/ingest/records.ts'
import { conflictDetail, submitRecords } from '../../src/ingest/submit.ts'
import { Arena } from '../../src/log/arena.ts'
import type { PublishedCheckpoint } from '../../src/log/cosigned.ts'
import { entryOnlyJson } from '../../src/log/entry-json.ts'
import { type EntryWithLeaf, placedEntry, submittedPayload } from '../../src/log/receipt.ts'
import { checkStoredEntry } from '../../src/log/stored-entry.ts'
import type { Submission } from '../../src/log/submission.ts'
import { skipSpace } from '../../tlog/json-scan.ts'
import { requireRole, senderOf } from '../authenticate.ts'
import { type BodyLimits, withBody } from '../body.ts'
import { type Deadline, deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { headerOf } from '../header.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import { type Kind, malformed, optional, readQuery } from '../parameters.ts'
import { Problem, refusalOf } from '../problem.ts'
import { recordContext } from '../record-context.ts'
import { anyOf, bytes, described, listOf, oneOf, text } from '../schema.ts'
import { single, singleOrBatch, submission } from '../schema-entry.ts'
import type { Server } from '../server.ts'

type Wait = 'integrated' | 'published' | 'witnessed'

const openBracket = 0x5b

/** `POST /v1/entries`: one JSON object, an array of them, or NDJSON; the same in CBOR. */
export function routeSubmit(app: Hono<Env>, server: Server): void {
  const reader = new RecordReader()
  const bodyLimits: BodyLimits = {
    bytesMax: server.limits.bodyBytesMax,
    arrivalMs: server.times.answerMs,
    paceMs: server.times.paceMs,
    budget: server.bodyBudget,
  }
  const submit = async (c: Context<Env>): Promise<Response> => {
    const startedAt = performance.now()
    let kind: 'single' | 'batch' = 'single'
    const deadline = deadlineIn(server.times.answerMs)
    const principal = await requireRole(server, c, who, deadline)
    server.rateLimiter.countRecords(principal, 0)
    server.log.checkMaySubmit()
    const format = readFormat(c)
    const wait = readWait(server, c)
    const context = recordContext(server, c, principal)
    return withBody(c, bodyLimits, senderOf(server, c, principal, who, deadline), async (body, charge) => {
      try {
        const readMany = manyReader(format, body)
        if (readMany !== undefined) {
          kind = 'batch'
          const records = await readMany(reader, body, { recordsMax: server.limits.recordsMax, charge }, context)
          server.rateLimiter.countRecords(principal, records.count)
          return await submitMany(server, { body, records, writer: principal.identity, wait, deadline })
        }
        server.rateLimiter.countRecords(principal, 1)
        const submission =
          format === 'cbor'
            ? readCborRecord(reader, body, charge, context)
            : reader.read(body, 0, body.length, new Arena(body.length, charge), context)
        return await submitOne(server, submission, wait ?? 'published', deadline)
      } catch (error) {
        await keepRefused(server, body, error, principal, deadline)
        throw error
      } finally {
        server.metrics.submitSeconds.observe({ kind }, (performance.now() - startedAt) / 1_000)
      }
    })
  }
  app.post('/v1/entries', describe(operation, submit))
}

const who = 'entries:submit'

const wait: Kind<Wait> = {
  schema: oneOf('integrated', 'published', 'witnessed'),
  parse: (text, parameter) => {
    if (text === 'integrated' || text === 'published' || text === 'witnessed') return text
    throw malformed(parameter, 'want integrated, published or witnessed')
  },
}
const query = {
  wait: optional(
    wait,
    'What the answer waits for; `published` for one event, `integrated` for many, unless it is given',
  ),
}

const operation: Operation = {
  id: 'submitEntries',
  summary: 'Log one event, or many',
  doc: 'Send an `id` to make retries harmless. Of many, records that are refused do not keep the others out.',
  who,
  query,
  body: {
    'application/json': anyOf(submission, listOf(submission)),
    'application/x-ndjson': described('A submission a line', text),
    'application/cbor': anyOf(submission, listOf(submission)),
    'application/cbor-seq': described('Submissions in CBOR, one behind the other (RFC 8742)', bytes),
  },
  answers: {
    200: {
      doc: 'One event that was logged before; or what became of many',
      content: jsonOrCbor(singleOrBatch),
    },
    201: {
      doc: 'One event, logged: its receipt, or its entry where the answer waited for no checkpoint',
      content: jsonOrCbor(single),
    },
  },
  problems: [
    ...([
      'malformed-json',
      'json-not-strict',
      'malformed-submission',
      'no-witnesses',
      'unsupported-media-type',
    ] as const),
    ...(['idempotency-conflict', 'too-many-records'] as const),
  ],
}

/**
 * Keeps what is refused for what it says (400, 409) before that is answered: an event that could not become an entry,
 * or a body in which records cannot be told apart. Its sender has the answer, but most senders are shippers, which drop
 * what they get it for, and an id with other content is a sign of tampering. Where it cannot be kept the answer is 503.
 * What is refused unread is not kept: without a token, too large, too many records, of another type or encoding.
 */
async function keepRefused(
  server: Server,
  body: Uint8Array,
  error: unknown,
  principal: Principal,
  deadline: Deadline,
): Promise<void> {
  const reason = refusalOf(error)
  if (reason === undefined || body.length === 0) return
  await deadline.within(quarantineBody(server.door, body, reason, principal.identity), notYetKept)
}

/** What an answer waits for, for those who are told that it did not come in time. */
type Stage = { reason: string }

async function submitOne(server: Server, submission: Submission, wait: Wait, deadline: Deadline): Promise<Response> {
  const stage = { reason: notYetWritten }
  return deadline.within(logOne(server, submission, wait, stage), () => stage.reason)
}

async function logOne(server: Server, submission: Submission, wait: Wait, stage: Stage): Promise<Response> {
  const placement = await server.door.submit([submission])
  const known = placement.known[0]
  if (known === undefined) return answerEntry(server, 201, placedEntry(submission, placement, 0), wait, stage)
  if (known.kind === 'conflict') {
    throw new Problem('idempotency-conflict', conflictDetail(known.sequenceNumber), { pointer: '/id' })
  }
  stage.reason = notReadBack
  return answerEntry(server, 200, await readDuplicate(server, submission, known.sequenceNumber), wait, stage)
}

async function answerEntry(
  server: Server,
  status: 200 | 201,
  entry: EntryWithLeaf,
  wait: Wait,
  stage: Stage,
): Promise<Response> {
  if (wait === 'integrated') return answer(status, entryOnlyJson(entry))
  stage.reason = wait === 'published' ? notYetPublished : notYetWitnessed
  const checkpoint = await waitFor(server, wait, entry.sequenceNumber)
  return answer(status, await server.log.receiptOf(entry, checkpoint))
}

/** The first checkpoint of at least `size` entries that is what was asked for. */
function waitFor({ log }: Server, wait: Exclude<Wait, 'integrated'>, size: number): Promise<PublishedCheckpoint> {
  return wait === 'witnessed' ? log.checkpoints.waitForWitnessed(size) : log.waitForCheckpoint(size)
}

/** The entry that a submission repeats: the payload is the same (DESIGN section 3) and need not be read. */
async function readDuplicate(server: Server, submission: Submission, sequenceNumber: number): Promise<EntryWithLeaf> {
  const [columns] = await server.entries.readColumns(sequenceNumber, sequenceNumber)
  if (columns === undefined) throw new Error(`entry ${sequenceNumber} is known, but not in the ledger`)
  const stored = { ...columns, payloadText: submittedPayload(submission) }
  return checkStoredEntry(stored, sequenceNumber, server.hash)
}

type Many = {
  readonly body: Uint8Array
  readonly records: Records
  readonly writer: string
  readonly wait: Wait | undefined
  readonly deadline: Deadline
}

async function submitMany(server: Server, { body, records, writer, wait, deadline }: Many): Promise<Response> {
  const result = await deadline.within(submitRecords(server.door, body, records, writer), notYetWritten)
  if (wait !== undefined && wait !== 'integrated' && result.lastIndex !== null) {
    const reason = wait === 'published' ? notYetPublished : notYetWitnessed
    await deadline.within(waitFor(server, wait, result.lastIndex + 1), reason)
  }
  return answer(200, JSON.stringify(result))
}

const notYetKept = 'what was refused could not be kept yet'
const notYetWritten = 'it is not known yet whether this was written'
const notReadBack = 'the entry is logged, but it could not be read back yet'
const notYetWitnessed = 'the entry is logged, but the witnesses have not cosigned its checkpoint yet'
const notYetPublished = 'the entry is logged, but its checkpoint is not published yet'

const answerHeaders = { 'content-type': 'application/json', 'cache-control': 'no-store' }

/** Not by way of `c.body`: that makes a `Headers` of the headers, and the server an object of it again. */
function answer(status: 200 | 201, json: string | Uint8Array<ArrayBuffer>): Response {
  return new Response(json, { status, headers: answerHeaders })
}

type Format = 'json' | 'ndjson' | 'cbor' | 'cbor-seq'

/** By media type. */
const formats: ReadonlyMap<string, Format> = new Map([
  ['application/json', 'json'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['application/cbor', 'cbor'],
  ['application/cbor-seq', 'cbor-seq'],
])

/** What reads the records of a body; undefined where it is one record. */
function manyReader(format: Format, body: Uint8Array): typeof readNdjson | undefined {
  if (format === 'json') return body[skipSpace(body, 0, body.length)] === openBracket ? readArray : undefined
  if (format === 'cbor') return isCborArray(body) ? readCborArray : undefined
  return format === 'ndjson' ? readNdjson : readCborSequence
}

function readFormat(c: Context<Env>): Format {
  const sent = headerOf(c, 'content-type') ?? 'application/json'
  const [type = '', ...parameters] = sent.toLowerCase().split(';')
  const format = formats.get(type.trim())
  const charset = parameters.map((text) => text.trim()).find((text) => text.startsWith('charset='))
  if (charset !== undefined && !/^charset="?(utf-8|utf8|us-ascii)"?$/.test(charset)) {
    throw new Problem('unsupported-media-type', 'JSON is UTF-8 (RFC 8259 8.1)')
  }
  if (format !== undefined) return format
  const want = 'application/json, application/x-ndjson, application/cbor or application/cbor-seq'
  const got = JSON.stringify(type.trim().slice(0, 80))
  throw new Problem('unsupported-media-type', `Content-Type: got ${got}, want ${want}`)
}

function readWait({ witnesses }: Server, c: Context<Env>): Wait | undefined {
  // Most requests have no query or this one: no list is made of it.
  const { url } = c.req
  if (!url.includes('?')) return undefined
  if (url.endsWith('/v1/entries?wait=integrated')) return 'integrated'
  const { wait } = readQuery(c, query)
  if (wait !== 'witnessed' || witnesses?.hasQuorum === true) return wait
  throw new Problem('no-witnesses', 'this log has no witnesses', { parameter: 'wait' })
}
