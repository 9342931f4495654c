// The HTTP side of a witness (C2SP tlog-witness): `POST /add-checkpoint`, and what it cosigned last of a log by the hash
// of its origin. Its statuses are the protocol's; what is no question of a witness is a problem document, as of a log.
import { type Context, Hono } from 'hono'
import type { WitnessMetrics } from '../src/ops/witness-metrics.ts'
import type { Answer } from '../src/witness/witness.ts'
import { addCheckpointBytesMax, sizeMediaType } from '../tlog/add-checkpoint.ts'
import { type BodyLimits, withBody } from './body.ts'
import type { ByteBudget } from './byte-budget.ts'
import { openHeaders } from './cors.ts'
import type { Env } from './env.ts'
import { Problem, problemResponse } from './problem.ts'
import type { ApiTimes } from './server.ts'
import type { ProblemTellers } from './tellers.ts'

export type WitnessServer = ProblemTellers & {
  readonly times: ApiTimes
  readonly bodyBudget: ByteBudget
  readonly addCheckpoint: (body: Uint8Array) => Promise<Answer>
  readonly readCheckpoint: (id: string) => Uint8Array | undefined
  readonly witnessMetrics: WitnessMetrics
}

/** Whoever asks is nobody in particular: what he may do, the signature of the log says. */
const anybody = { identity: 'anybody', checkStill: async (): Promise<void> => {} }
const text = 'text/plain; charset=utf-8'

export function createWitnessApp(server: WitnessServer): Hono<Env> {
  const app = new Hono<Env>()
  const limits: BodyLimits = {
    bytesMax: addCheckpointBytesMax,
    arrivalMs: server.times.answerMs,
    paceMs: server.times.paceMs,
    budget: server.bodyBudget,
  }
  app.post('/add-checkpoint', (c) =>
    withBody(c, limits, anybody, async (body) => {
      const answer = await server.addCheckpoint(body)
      server.witnessMetrics.onAnswered(answer.kind === 'cosigned' ? answer.kind : String(answer.status))
      return respond(c, answer)
    }),
  )
  app.get('/:id{[0-9a-f]{64}}/checkpoint', (c) => {
    const note = server.readCheckpoint(c.req.param('id'))
    if (note === undefined) throw new Problem('not-found', 'nothing of such a log was cosigned')
    return c.body(new Uint8Array(note), 200, openHeaders(c, { 'content-type': text, 'cache-control': 'no-store' }))
  })
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  app.get('/metrics', async (c) =>
    c.body(await server.witnessMetrics.render(), 200, { 'content-type': server.witnessMetrics.contentType }),
  )
  app.notFound((c) => problemResponse(c, new Problem('not-found', 'there is no such path here'), server))
  app.onError((error, c) => problemResponse(c, error, server))
  return app
}

function respond(c: Context<Env>, answer: Answer): Response {
  if (answer.kind === 'cosigned') return c.body(answer.lines, 200, { 'content-type': text })
  const { status, reason, knownSize } = answer
  if (knownSize !== undefined) return c.body(`${knownSize}\n`, status, { 'content-type': sizeMediaType })
  return c.body(`${reason}\n`, status, { 'content-type': text })
}
