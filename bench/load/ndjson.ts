// Posts bodies of 1,000 records on some connections until all are answered.
import { setTimeout as sleep } from 'node:timers/promises'
import { NdjsonBody } from '../events.ts'
import { type Answer, type Connection, openConnections, postHead } from './connection.ts'
import { serveLoad } from './load-process.ts'

export type NdjsonLoad = {
  readonly port: number
  readonly token: string
  readonly connections: number
  readonly bodies: number
  readonly recordsPerBody: number
  /** Of the first record; the others count on from it. */
  readonly firstNumber: number
  readonly withIds: boolean
}

export type NdjsonResult = {
  /** From the first request to the last answer. */
  readonly elapsedMs: number
  /** Requests that were answered 503 or 429, and sent again. */
  readonly refused: number
}

const pauseMs = 50

async function run(load: NdjsonLoad): Promise<NdjsonResult> {
  const connections = await openConnections(load.port, load.connections)
  const bodies = connections.map((_, i) => new NdjsonBody(i, load.recordsPerBody, load.withIds))
  const work = { next: 0, refused: 0 }
  const startedAt = performance.now()
  await Promise.all(connections.map((connection, i) => postAll(load, connection, bodies[i] as NdjsonBody, work)))
  const elapsedMs = performance.now() - startedAt
  for (const connection of connections) connection.close()
  return { elapsedMs, refused: work.refused }
}

/** Takes the next number of a body until there is none; `work` is shared by the connections. */
async function postAll(
  load: NdjsonLoad,
  connection: Connection,
  body: NdjsonBody,
  work: { next: number; refused: number },
): Promise<void> {
  const head = postHead('/v1/entries', 'application/x-ndjson', load.token, body.bytes.length)
  while (work.next < load.bodies) {
    body.renew(load.firstNumber + work.next++ * load.recordsPerBody, Date.now())
    for (;;) {
      const answer = await connection.ask(head, body.bytes)
      if (answer.status !== 503 && answer.status !== 429) {
        checkAccepted(answer, load.recordsPerBody)
        break
      }
      work.refused++
      await sleep(pauseMs)
    }
  }
}

function checkAccepted({ status, body }: Answer, want: number): void {
  const { accepted } = status === 200 ? (JSON.parse(body.toString()) as { accepted: unknown }) : {}
  if (accepted !== want) throw new Error(`a body of ${want}: ${status} ${body.toString('utf8', 0, 300)}`)
}

await serveLoad(run)
