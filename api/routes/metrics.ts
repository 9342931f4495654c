import type { Hono } from 'hono'
import { requireRole } from '../authenticate.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env, Server } from '../server.ts'

/** `GET /metrics`, for Prometheus: numbers only, for administrators or, where that is set, for everybody. */
export function routeMetrics(app: Hono<Env>, server: Server): void {
  app.get('/metrics', async (c) => {
    if (!server.publicMetrics) await requireRole(server, c, 'metrics:read', deadlineIn(server.times.answerMs))
    const headers = { 'content-type': server.metrics.contentType, 'cache-control': 'no-store' }
    return c.body(await server.metrics.format(), 200, headers)
  })
}
