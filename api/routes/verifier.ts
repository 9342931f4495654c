import type { Hono } from 'hono'
import { requireRole } from '../authenticate.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
import { formatStanding, verifier } from '../schema-verifier.ts'
import type { Server } from '../server.ts'

const read: Operation & { readonly who: 'incidents:read' } = {
  id: 'readVerifier',
  summary: 'Where the verifier of the log stands',
  doc: 'It asks no database. What it found stays until it is forgotten (`dendrolog verify --forget`).',
  who: 'incidents:read',
  query: {},
  answers: { 200: { doc: 'What is not known is null', content: jsonOrCbor(verifier) } },
}

/** `GET /v1/verifier`: what `dendrolog verify --status` says, and what metrics have. */
export function routeVerifier(app: Hono<Env>, server: Server): void {
  app.get(
    '/v1/verifier',
    describe(read, async (c) => {
      const deadline = deadlineIn(server.times.answerMs)
      await requireRole(server, c, read.who, deadline)
      readQuery(c, {})
      const standing = await deadline.within(
        server.readVerifier(),
        'where the verifier stands could not be read in time',
      )
      return c.json(formatStanding(standing), 200, { 'cache-control': 'no-store' })
    }),
  )
}
