// Posts single events, or small bodies of them: either each connection as fast as it is answered, or so many a second whatever the server does.
import { setTimeout as sleep } from 'node:timers/promises'
import { NdjsonBody } from '../events.ts'
import { quantile } from '../statistics.ts'
import { Connection, openConnections, postHead } from './connection.ts'
import { serveLoad } from './load-process.ts'

export type SingleLoad = {
  readonly port: number
  readonly token: string
  readonly path: string
  readonly connections: number
  readonly seconds: number
  /** Requests a second, evenly; undefined: closed loop. */
  readonly offered: number | undefined
  /** 1 unless it is said: NDJSON, all of whose records must be accepted. */
  readonly recordsPerBody?: number
}

export type SingleResult = {
  /** Answers with 201, a second. */
  readonly rate: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  /** Everything else: other answers, lost connections, time-outs. */
  readonly failed: number
  /** The first of them, for people. */
  readonly failure?: string
}

/** A connection and the event that it sends, made new for each request. */
type Sender = { connection: Connection; readonly body: NdjsonBody }
type Tally = { readonly latenciesMs: number[]; failed: number; next: number; failure?: string }

async function run(load: SingleLoad): Promise<SingleResult> {
  const connections = await openConnections(load.port, load.connections)
  const { recordsPerBody = 1 } = load
  const senders = connections.map(
    (connection, i): Sender => ({ connection, body: new NdjsonBody(i, recordsPerBody, false) }),
  )
  const tally: Tally = { latenciesMs: [], failed: 0, next: 0 }
  const startedAt = performance.now()
  if (load.offered === undefined) await runClosed(load, senders, tally, startedAt + load.seconds * 1_000)
  else await runPaced(load, senders, tally, load.offered)
  const elapsedMs = performance.now() - startedAt
  for (const { connection } of senders) connection.close()
  return summary(tally, elapsedMs)
}

async function runClosed(load: SingleLoad, senders: readonly Sender[], tally: Tally, endsAt: number): Promise<void> {
  const runOne = async (sender: Sender): Promise<void> => {
    while (performance.now() < endsAt) await post(load, sender, tally, performance.now())
  }
  await Promise.all(senders.map(runOne))
}

/**
 * Sends at fixed times, on the connection that is free for longest: one that is never used is closed as idle. Where none is free the request waits, and its latency counts from the
 * time at which it should have gone: a server that stalls cannot hide it (coordinated omission).
 */
async function runPaced(load: SingleLoad, senders: readonly Sender[], tally: Tally, offered: number): Promise<void> {
  const free = [...senders]
  const due: number[] = []
  const underway = new Set<Promise<void>>()
  const startedAt = performance.now()
  const total = load.seconds * offered
  for (let sent = 0; sent < total || due.length > 0; ) {
    const now = performance.now()
    while (sent < total && startedAt + (sent * 1_000) / offered <= now) due.push(startedAt + (sent++ * 1_000) / offered)
    while (due.length > 0 && free.length > 0) start(due.shift() as number, free.shift() as Sender)
    await sleep(1)
  }
  await Promise.all(underway)

  function start(intendedAt: number, sender: Sender): void {
    const posted = post(load, sender, tally, intendedAt).then(() => {
      free.push(sender)
      underway.delete(posted)
    })
    underway.add(posted)
  }
}

/** A lost connection is opened again. */
async function post(load: SingleLoad, sender: Sender, tally: Tally, sinceMs: number): Promise<void> {
  const { bytes } = sender.body
  const { recordsPerBody = 1 } = load
  sender.body.renew(tally.next, 0)
  tally.next += recordsPerBody
  try {
    const type = recordsPerBody === 1 ? 'application/json' : 'application/x-ndjson'
    const head = postHead(load.path, type, load.token, bytes.length)
    const { status, body } = await sender.connection.ask(head, bytes)
    const isTaken = recordsPerBody === 1 ? status === 201 : body.includes(`"accepted":${recordsPerBody},`)
    if (isTaken) tally.latenciesMs.push(performance.now() - sinceMs)
    else fail(tally, `${status} ${body.toString('utf8', 0, 300)}`)
  } catch (error) {
    fail(tally, String(error))
    sender.connection = await Connection.open(load.port)
  }
}

function fail(tally: Tally, reason: string): void {
  tally.failed++
  tally.failure ??= reason
}

function summary({ latenciesMs, failed, failure }: Tally, elapsedMs: number): SingleResult {
  return {
    rate: (latenciesMs.length / elapsedMs) * 1_000,
    p50Ms: quantile(latenciesMs, 0.5),
    p95Ms: quantile(latenciesMs, 0.95),
    p99Ms: quantile(latenciesMs, 0.99),
    failed,
    ...(failure === undefined ? {} : { failure }),
  }
}

await serveLoad(run)
