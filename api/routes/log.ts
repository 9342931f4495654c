import type { Context, Hono } from 'hono'
import { refusedListedMax } from '../../src/ingest/quarantine.ts'
import { payloadBytesMax, payloadDepthMax, recordBytesMax } from '../../src/ingest/record.ts'
import { servedNote } from '../../src/log/cosigned.ts'
import { openToBrowsers } from '../cors.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import { choice, readQuery, withDefault } from '../parameters.ts'
import { Problem, retryAfterText } from '../problem.ts'
import {
  base64,
  base64Hash,
  checkpointNote,
  integer,
  type JsonSchema,
  listOf,
  named,
  object,
  oneOf,
  orNull,
  text,
} from '../schema.ts'
import type { Server } from '../server.ts'

/**
 * What the log says of itself, its newest checkpoint, and how it is. `/checkpoint` and `/healthz` take any query: caches,
 * monitors and probes add parameters of their own, and there is none here that could be misspelt.
 */
export function routeLog(app: Hono<Env>, server: Server): void {
  const { origin, vkey, sthPublicKey, logId } = server.identity
  const { bodyBytesMax, recordsMax, checkpointIntervalMs, resignIntervalMs } = server.limits
  openToBrowsers(app, '/v1/log')
  openToBrowsers(app, '/checkpoint')
  openToBrowsers(app, '/v1/checkpoints/witnessed')
  const about = {
    ...{ origin, vkey, sthPublicKey, logId },
    keys: [
      { vkey, use: 'checkpoint', from: 0, until: null },
      { spki: sthPublicKey, use: 'sth', from: 0, until: null },
    ],
    limits: {
      bodyBytes: bodyBytesMax,
      records: recordsMax,
      recordBytes: recordBytesMax,
      refusedListed: refusedListedMax,
      payloadBytes: payloadBytesMax,
      payloadDepth: payloadDepthMax,
    },
    intervals: { checkpointMs: checkpointIntervalMs, resignMs: resignIntervalMs },
    witnesses: (server.witnesses?.known ?? []).map(({ name, vkey }) => ({ name, vkey })),
    publish: server.publishesAfterQuorum ? 'after-quorum' : 'at-once',
  }
  app.get(
    '/v1/log',
    describe(aboutLog, (c) => {
      readQuery(c, {})
      return c.json({ ...about, treeSize: server.log.published.treeSize })
    }),
  )
  const noteHeaders = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }
  app.get(
    '/checkpoint',
    describe(checkpoint, (c) => c.body(servedNote(server.log.published), 200, noteHeaders)),
  )
  app.get(
    '/v1/checkpoints/witnessed',
    describe(witnessedCheckpoint, (c) => {
      const { witnessed } = server.log.checkpoints
      if (witnessed === undefined) throw new Problem('not-found', 'the witnesses have cosigned no checkpoint yet')
      return c.body(servedNote(witnessed), 200, noteHeaders)
    }),
  )
  // Always for everybody: orchestrators and load balancers that ask have no tokens, and are told codes and sizes only.
  app.get(
    '/healthz',
    describe(alive, (c) => c.json({ status: 'alive' })),
  )
  app.get(
    '/readyz',
    describe(ready, (c) => answerReady(server, c)),
  )
}

async function answerReady(server: Server, c: Context<Env>): Promise<Response> {
  const { for: use } = readQuery(c, readyQuery)
  const { status, problem } = await (use === 'reads' ? readForReads(server) : readForWrites(server))
  const { problem: _, readProblem: _readProblem, isReady: _isReady, ...health } = server.log.health
  const answer = { status, ...(problem ? { problem } : {}), ...health }
  if (status === 'ready') return c.json(answer, 200)
  // As submissions are told that are refused for the same reason.
  return c.json(answer, 503, { 'retry-after': status === 'standby' ? '1' : retryAfterText(1) })
}

const key = {
  use: oneOf('checkpoint', 'sth'),
  from: { ...integer(), description: 'The first tree size' },
  until: orNull(integer()),
}

const about: JsonSchema = named(
  'Log',
  object({
    origin: text,
    vkey: { ...text, description: 'C2SP verifier key of checkpoints' },
    sthPublicKey: { ...base64, description: 'SPKI' },
    logId: base64Hash,
    treeSize: integer(),
    keys: listOf(object(key, { vkey: text, spki: base64 })),
    limits: object({
      ...{ bodyBytes: integer(), records: integer(), recordBytes: integer() },
      ...{ refusedListed: integer(), payloadBytes: integer(), payloadDepth: integer() },
    }),
    intervals: object({ checkpointMs: integer(), resignMs: integer() }),
    witnesses: listOf(object({ name: text, vkey: { ...text, description: 'C2SP verifier key of its cosignatures' } })),
    publish: oneOf('at-once', 'after-quorum'),
  }),
)

const aboutLog: Operation = {
  id: 'readLog',
  summary: 'Keys, limits and size of the log',
  who: 'everybody',
  query: {},
  answers: { 200: { doc: 'What a client needs first', content: jsonOrCbor(about) } },
}

const checkpoint: Operation = {
  id: 'readCheckpoint',
  summary: 'The newest checkpoint (C2SP tlog-tiles)',
  who: 'everybody',
  answers: { 200: { doc: 'A signed note', content: { 'text/plain': checkpointNote } } },
}

const witnessedCheckpoint: Operation = {
  id: 'readWitnessedCheckpoint',
  summary: 'The newest checkpoint that the quorum of the witnesses has cosigned',
  who: 'everybody',
  answers: { 200: { doc: 'A signed note with its cosignatures', content: { 'text/plain': checkpointNote } } },
  problems: ['not-found'],
}

const alive: Operation = {
  id: 'isAlive',
  summary: 'Whether the process answers',
  who: 'everybody',
  answers: { 200: { doc: 'It does', content: jsonOrCbor(object({ status: oneOf('alive') })) } },
}

const readyQuery = {
  for: withDefault(choice('writes', 'reads'), 'writes', 'What would be sent here; a server that stands by takes reads'),
}

const health = {
  ...{ pendingEntries: integer(), integratedSize: integer(), publishedSize: integer() },
  isLeader: { type: 'boolean', description: 'Whether this server sequences and signs' },
}
const reasons = { problem: text, code: text, incident: text }

const ready: Operation = {
  id: 'isReady',
  summary: 'Whether the log takes entries and serves all that it should',
  who: 'everybody',
  query: readyQuery,
  answers: {
    200: { doc: 'It does', content: jsonOrCbor(object({ status: oneOf('ready'), ...health }, reasons)) },
    503: {
      doc: 'It does not',
      content: jsonOrCbor(object({ status: oneOf('not ready', 'standby'), ...health }, reasons)),
    },
  },
}

type Readiness = { readonly status: 'ready' | 'not ready' | 'standby'; readonly problem?: string | undefined }

/** Whether submissions may be sent here. The log itself notices its writer and signer; tokens and reading have logins of their own. */
async function readForWrites({ log, failingLogins }: Server): Promise<Readiness> {
  const { isReady, code, problem } = log.health
  if (code === 'NOT_LEADER') return { status: 'standby', problem }
  return isReady ? readiness(await failingLogins()) : { status: 'not ready', problem }
}

/** Whether everything else may be asked here: of a server that stands by and follows, and of a log that takes nothing, too. */
async function readForReads({ log, failingLogins }: Server): Promise<Readiness> {
  const { readProblem } = log.health
  if (readProblem !== undefined) return { status: 'not ready', problem: readProblem }
  return readiness((await failingLogins()).filter((name) => name !== 'writer'))
}

function readiness(failing: readonly string[]): Readiness {
  return failing.length === 0 ? { status: 'ready' } : { status: 'not ready', problem: describeFailing(failing) }
}

/** What is wrong with logins to the database, for whoever must mend it; the server's log has the reasons. */
export function describeFailing(names: readonly string[]): string {
  return `the database does not let in the server's logins ${names.join(', ')}; its log says why`
}
