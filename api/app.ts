import { type Context, Hono } from 'hono'
import type { Env } from './env.ts'
import { Problem, problemResponse } from './problem.ts'
import { routeAdd } from './routes/add.ts'
import { routeCoseKeys } from './routes/cose-keys.ts'
import { routeCt } from './routes/ct.ts'
import { routeDocs } from './routes/docs.ts'
import { routeEntries } from './routes/entries.ts'
import { routeEntryProof } from './routes/entry-proof.ts'
import { routeEvidence } from './routes/evidence.ts'
import { routeIncidents } from './routes/incidents.ts'
import { routeLog } from './routes/log.ts'
import { routeMetrics } from './routes/metrics.ts'
import { routeProofs } from './routes/proofs.ts'
import { routeSearch } from './routes/search.ts'
import { routeStreams } from './routes/streams.ts'
import { routeSubmit } from './routes/submit.ts'
import { routeTiles } from './routes/tiles.ts'
import { routeTokens } from './routes/tokens.ts'
import { routeVerifier } from './routes/verifier.ts'
import type { Server } from './server.ts'

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** The HTTP side of a log. */
export function createApp(server: Server): Hono<Env> {
  const app = new Hono<Env>()
  routeSubmit(app, server)
  routeStreams(app, server)
  routeSearch(app, server)
  routeEntries(app, server)
  routeEntryProof(app, server)
  routeEvidence(app, server)
  routeProofs(app, server)
  routeLog(app, server)
  routeMetrics(app, server)
  routeTiles(app, server)
  routeCoseKeys(app, server)
  routeCt(app, server)
  routeAdd(app, server)
  routeTokens(app, server)
  routeIncidents(app, server)
  routeVerifier(app, server)
  routeDocs(app, server)
  app.notFound((c) => problemResponse(c, notRouted(app, c), server))
  app.onError((error, c) => problemResponse(c, error, server))
  return app
}

/** 405 where the path is there for another method, else 404. */
function notRouted(app: Hono<Env>, c: Context): Problem {
  const allowed = methods.filter((method) => isRouted(app, method, c.req.path))
  if (allowed.length === 0) return new Problem('not-found', `there is no ${c.req.path.slice(0, 200)}`)
  const allow = allowed.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ')
  return new Problem('method-not-allowed', `this path takes ${allow}`, { headers: { allow } })
}

/** Middleware, which is for all methods, answers nothing by itself. */
function isRouted(app: Hono<Env>, method: string, path: string): boolean {
  const [handlers] = app.router.match(method, path)
  return handlers.some(([[, route]]) => route.method === method)
}
