/** The HTTP side on a log and a database of their own: all that `serve` wires, in this process. */
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Hono } from 'hono'
import { createApp } from '../../api/app.ts'
import { ByteBudget } from '../../api/byte-budget.ts'
import type { Env } from '../../api/env.ts'
import type { GracefulClose } from '../../api/graceful-close.ts'
import { createHttpServer } from '../../api/listener.ts'
import { RateLimiter } from '../../api/rate-limit.ts'
import type { ApiLimits, Server, VerifierStanding } from '../../api/server.ts'
import type { ReaderTimes } from '../../api/slow-readers.ts'
import type { TlsPair } from '../../api/tls.ts'
import { createTokenSecret } from '../../src/auth/token.ts'
import { openTokens, type TokensOptions } from '../../src/auth/tokens.ts'
import type { Witnesses } from '../../src/cosign/witnesses.ts'
import { bundleSourceOf, makeBundle } from '../../src/evidence/make-bundle.ts'
import { IncidentOffice } from '../../src/incident/incident-office.ts'
import { makeId } from '../../src/ingest/make-id.ts'
import type { Log } from '../../src/log/log.ts'
import { createSignAct } from '../../src/log/own-act-entry.ts'
import { readProvedColumns } from '../../src/log/published-entries.ts'
import { hashSecret } from '../../src/log/seal.ts'
import { readCosignedAfter } from '../../src/log/witnessed-checkpoints.ts'
import { createMetrics } from '../../src/ops/metrics.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import type { SearchDefect } from '../../src/search/search-defect.ts'
import type { ProofTiming } from '../../src/search/search-proof.ts'
import { openSearchTables, type SearchTables, type SearchTablesOptions } from '../../src/search/search-tables.ts'
import { readCheckpointOfSize } from '../../src/store/checkpoints.ts'
import { type EntryReads, entryReads, findSequenceNumber } from '../../src/store/entries.ts'
import { insertQuarantined } from '../../src/store/quarantine.ts'
import type { Row } from '../../src/store/row.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { insertFirstToken, type TokenRole } from '../../src/store/tokens.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { createTestLog, origin, schema, type TestLog, type TestLogOptions } from './log.ts'
import { policyOf, startWitnesses, type TestWitnesses, type TestWitnessing, witnessingOf } from './witnesses.ts'

export type TestApi = {
  readonly app: Hono<Env>
  readonly log: Log
  readonly test: TestLog
  readonly server: Server
  readonly tokens: Readonly<Record<TokenRole, string>>
  /** What handlers did not expect so far. */
  readonly unexpected: readonly unknown[]
  /** What was wrong with the search tables so far. */
  readonly searchDefects: readonly SearchDefect[]
  /** Runs a statement as superuser. */
  readonly sql: (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>
  /** `POST /v1/entries` by the writer. A body that is neither text nor bytes is sent as its JSON. */
  readonly post: (body: unknown, headers?: Record<string, string>, query?: string) => Promise<Answer>
  /** Anything else, with the token of this role. */
  readonly get: (path: string, role?: TokenRole) => Promise<Answer>
  /** Listens on a free port until `close`; HTTPS with a pair. */
  readonly listen: (times?: ListenTimes, pair?: TlsPair) => Promise<TestListener>
  /** Checks the whole log and removes it. */
  readonly close: () => Promise<void>
}

export type ListenTimes = ReaderTimes & { readonly handshakeMs?: number }
export type TestListener = { readonly http: HttpServer; readonly port: number; readonly close: GracefulClose }

/** An answer, read; `json` is empty where it is none. */
export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

export type TestApiOptions = {
  readonly log?: TestLogOptions
  /** Of them, all but one are the quorum; without, there are none. */
  readonly witnesses?: number
  readonly publishesAfterQuorum?: boolean
  readonly limits?: Partial<ApiLimits>
  readonly answerMs?: number
  readonly paceMs?: number
  readonly tokens?: Pick<TokensOptions, 'rates'>
  readonly server?: Partial<Server>
  readonly proofTiming?: Partial<ProofTiming>
  readonly entries?: Partial<EntryReads>
  readonly search?: Pick<SearchTablesOptions, 'mustFill'>
}

export async function openTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  const test = await createTestLog()
  const witnessed = await openWitnesses(test, options)
  const { log } = await test.start({ ...options.log, witnessing: witnessed?.witnessing })
  const admin = openPool(test.database.admin, 2, 10_000)
  const writer = openPool(test.database.as('app_writer_role'), 2, 10_000)
  const state = openPool(test.database.as('app_state_role'), 2, 10_000)
  const tokens = await createTokens(test, state)
  const unexpected: unknown[] = []
  const searchDefects: SearchDefect[] = []
  const search = openSearchTables({ read: state, follow: state.query }, schema, {
    publishedSize: () => log.published.treeSize,
    onFailed: (_, error) => unexpected.push(error),
    timing: { idleMs: 5 },
    ...options.search,
    proof: {
      readEntries: (from, to) =>
        readProvedColumns(
          {
            reads: entryReads(log.reader.query, schema),
            tiles: log.tiles,
            proofs: log.proofs,
            checkpoint: log.published,
            hash: nativeSha256,
          },
          from,
          to,
        ),
      onDefects: (defects) => searchDefects.push(...defects),
      // What tests do to the tables stays unless they ask for more.
      timing: { restMinMs: 1e6, ...options.proofTiming },
    },
  })
  const stop = new AbortController()
  const following = search.run(stop.signal)
  const server = serverOf(test, log, search, state, writer, unexpected, options, witnessed?.witnesses)
  const app = createApp(server)
  const servers: HttpServer[] = []
  return {
    ...{ app, log, test, server, tokens, unexpected, searchDefects, sql: admin.query },
    post: (body, headers = {}, query = '') =>
      read(
        app.request(`/v1/entries${query}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${tokens.writer}`, 'content-type': 'application/json', ...headers },
          body: bodyOf(body),
        }),
      ),
    get: (path, role) =>
      read(app.request(path, role === undefined ? {} : { headers: { authorization: `Bearer ${tokens[role]}` } })),
    listen: async (times, pair) => {
      const { http, close } = createHttpServer(app, times, pair)
      servers.push(http)
      http.listen(0, '127.0.0.1')
      await once(http, 'listening')
      return { http, port: (http.address() as AddressInfo).port, close }
    },
    close: async () => {
      for (const http of servers) {
        http.close()
        http.closeAllConnections()
      }
      stop.abort()
      await following
      await Promise.all([admin.close(), writer.close(), state.close()])
      try {
        await test.check()
      } finally {
        await test.drop()
        await witnessed?.close()
      }
    },
  }
}

async function openWitnesses(
  { keys }: TestLog,
  { witnesses: count = 0, publishesAfterQuorum }: TestApiOptions,
): Promise<(TestWitnessing & Pick<TestWitnesses, 'close'>) | undefined> {
  if (count === 0) return undefined
  const started = await startWitnesses(count, keys.vkey)
  const policy = policyOf(started, Math.max(1, count - 1))
  return { ...witnessingOf(keys, policy, publishesAfterQuorum), close: started.close }
}

/** Lets a superuser change what was logged: the guards that refuse it are off, as someone who means harm would do. */
export async function openEvidence({ sql }: Pick<TestApi, 'sql'>): Promise<void> {
  const guards = ['start', 'end', 'drop'].map((name) => `alter event trigger security_guard_${name} disable;`)
  const tables = ['audit_logs', 'entry_ids'].map((name) => `alter table security.${name} disable trigger all;`)
  await sql([...guards, ...tables].join('\n'))
}

/** Reads an answer. */
export async function read(answering: Response | Promise<Response>): Promise<Answer> {
  const response = await answering
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  const json = (isJson ? JSON.parse(text) : {}) as Record<string, unknown>
  return { status: response.status, headers: response.headers, text, json }
}

/** A submission that is accepted, with `members` instead of its own; `undefined` leaves one out. */
export function submissionWith(members: Record<string, unknown> = {}): Record<string, unknown> {
  return { actorId: 'alice', action: 'document.read', resource: 'doc/1', payload: { reason: 'review' }, ...members }
}

/** A new UUIDv7. */
export function newId(): string {
  const hex = Buffer.from(makeId()).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

function bodyOf(body: unknown): string | Uint8Array<ArrayBuffer> {
  if (typeof body === 'string') return body
  return body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body)
}

async function createTokens(test: TestLog, state: Pool): Promise<Record<TokenRole, string>> {
  const entries: [TokenRole, string][] = []
  for (const role of ['writer', 'auditor', 'admin'] as const) {
    const secret = createTokenSecret()
    await insertFirstToken(state.query, schema, hashSecret(test.keys.sealKey, secret), { name: role, role })
    entries.push([role, secret])
  }
  return Object.fromEntries(entries) as Record<TokenRole, string>
}

/** A verifier that has hashed all and found nothing. */
function verifierOf(size: number): VerifierStanding {
  return {
    ...{ runsHere: true, failure: null, size, verifiedSize: size, findings: 0, withinHours: 24 },
    ...{ checkedMs: 1_700_000_000_500, coveredMs: null, savedMs: 1_700_000_000_000.25, ranges: 1, rangesDone: 0 },
  }
}

/** What `serve` reads of its log. */
const readings = {
  ...{ pendingEntries: 1, integratedSize: 2, publishedSize: 3, publishedAtMs: 4_000 },
  ...{ searchedSize: 5, searchCheckedSize: 4, isReady: true, isLeader: true, bodyBytes: 6 },
}

function serverOf(
  test: TestLog,
  log: Log,
  search: SearchTables,
  state: Pool,
  writer: Pool,
  unexpected: unknown[],
  options: TestApiOptions,
  witnesses: Witnesses | undefined,
): Server {
  const { keys } = test
  const bodyBytesMax = options.limits?.bodyBytesMax ?? 16_777_216
  const signAct = createSignAct({ signer: keys.signing.note, makeId, nowMs: Date.now, hash: nativeSha256 })
  const tokens = openTokens({
    ...{ query: state.query, schema, rates: { requestsPerSecond: 0, entriesPerSecond: 0 }, ...options.tokens },
    ...{ sealKey: keys.sealKey, makeId, signAct },
    onFailed: (error) => unexpected.push(error),
  })
  return {
    log,
    identity: { origin, vkey: keys.vkey, sthPublicKey: keys.sthPublicKey, logId: keys.logId },
    witnesses,
    publishesAfterQuorum: options.publishesAfterQuorum ?? false,
    limits: { bodyBytesMax, recordsMax: 10_000, checkpointIntervalMs: 10, resignIntervalMs: 60_000, ...options.limits },
    times: { answerMs: options.answerMs ?? 25_000, paceMs: options.paceMs ?? 10_000 },
    bodyBudget: new ByteBudget(3 * bodyBytesMax, 1.5 * bodyBytesMax),
    readBudget: new ByteBudget(67_108_864),
    openBudget: new ByteBudget(33_554_432),
    hash: nativeSha256,
    door: {
      submit: (submissions, release) => log.submit(submissions, release),
      quarantine: (records) => insertQuarantined(writer.query, schema, records),
      makeId,
      hash: nativeSha256,
    },
    publicEntries: false,
    metrics: createMetrics(() => readings),
    publicMetrics: false,
    publicDocs: true,
    authenticate: (secret) => tokens.authenticator.authenticate(secret),
    tokens: tokens.office,
    incidents: new IncidentOffice({
      ...{ query: state.query, schema, signAct, hooks: ['webhook'], nowMs: Date.now },
      makeId: () => formatUuid(makeId()),
    }),
    readVerifier: async () => verifierOf(Number(log.published.treeSize)),
    rateLimiter: new RateLimiter(),
    entries: { ...entryReads(log.reader.query, schema), ...options.entries },
    search,
    readCheckpoints: (after, limit) => readCosignedAfter(log.reader.query, schema, witnesses, after, limit),
    readCheckpointOfSize: (size, last) => readCheckpointOfSize(log.reader.query, schema, size, last),
    makeBundle: (numbers, withPayloads) =>
      makeBundle(bundleSourceOf(log, keys, { schema, witnesses, hash: nativeSha256 }), numbers, withPayloads),
    findSequenceNumber: (id) => findSequenceNumber(log.reader.query, schema, id),
    failingLogins: async () => [],
    onEntriesRead: () => {},
    onUnexpected: (error) => unexpected.push(error),
    onRefused: () => {},
    ...options.server,
  }
}
