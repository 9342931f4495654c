import type { Hono } from 'hono'
import { answerBytes } from '../answer-share.ts'
import { requireRole } from '../authenticate.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
import { plainText } from '../schema.ts'
import type { Server } from '../server.ts'

/** `GET /metrics`, for Prometheus: numbers only, for administrators or, where that is set, for everybody. */
export function routeMetrics(app: Hono<Env>, server: Server): void {
  const operation: Operation = {
    id: 'readMetrics',
    summary: 'Metrics for Prometheus',
    who: server.publicMetrics ? 'everybody' : 'metrics:read',
    query: {},
    answers: { 200: { doc: 'Text format 0.0.4', content: { 'text/plain': plainText } } },
  }
  const { who } = operation
  app.get(
    '/metrics',
    describe(operation, async (c) => {
      if (who !== 'everybody') await requireRole(server, c, who, deadlineIn(server.times.answerMs))
      readQuery(c, {})
      const headers = { 'content-type': server.metrics.contentType, 'cache-control': 'no-store' }
      return answerBytes(server.openBudget, c, Buffer.from(await server.metrics.format()), headers)
    }),
  )
}
