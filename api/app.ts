import { Hono } from 'hono'
import { Problem, problemResponse } from './problem.ts'
import { routeEntries } from './routes/entries.ts'
import { routeLog } from './routes/log.ts'
import { routeProofs } from './routes/proofs.ts'
import { routeSubmit } from './routes/submit.ts'
import type { Env, Server } from './server.ts'

/** The HTTP side of a log. */
export function createApp(server: Server): Hono<Env> {
  const app = new Hono<Env>()
  routeSubmit(app, server)
  routeEntries(app, server)
  routeProofs(app, server)
  routeLog(app, server)
  app.notFound((c) =>
    problemResponse(c, new Problem('not-found', `there is no ${c.req.path.slice(0, 200)}`), server.onUnexpected),
  )
  app.onError((error, c) => problemResponse(c, error, server.onUnexpected))
  return app
}
