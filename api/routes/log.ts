import type { Hono } from 'hono'
import { refusedListedMax } from '../../src/ingest/quarantine.ts'
import { payloadBytesMax, payloadDepthMax, recordBytesMax } from '../../src/ingest/record.ts'
import { openToBrowsers } from '../cors.ts'
import type { Env, Server } from '../server.ts'

/** What the log says of itself, its newest checkpoint, and how it is. */
export function routeLog(app: Hono<Env>, server: Server): void {
  const { origin, vkey, sthPublicKey, logId } = server.identity
  const { bodyBytesMax, recordsMax, checkpointIntervalMs, resignIntervalMs } = server.limits
  openToBrowsers(app, '/v1/log')
  openToBrowsers(app, '/checkpoint')
  app.get('/v1/log', (c) =>
    c.json({
      origin,
      vkey,
      sthPublicKey,
      logId,
      treeSize: server.log.published.treeSize,
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
      witnesses: [],
    }),
  )
  app.get('/checkpoint', (c) =>
    c.body(server.log.published.note, 200, {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'no-store',
    }),
  )
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  // The log itself notices its writer and signer only; tokens and reading stand on logins of their own.
  app.get('/readyz', async (c, next) => {
    const { isReady, problem: _, ...sizes } = server.log.health
    const failing = isReady ? await server.failingLogins() : []
    if (failing.length === 0) return next()
    return c.json({ status: 'not ready', problem: describeFailing(failing), ...sizes }, 503)
  })
  app.get('/readyz', (c) => {
    const { isReady, problem, ...sizes } = server.log.health
    return c.json(
      { status: isReady ? 'ready' : 'not ready', ...(problem ? { problem } : {}), ...sizes },
      isReady ? 200 : 503,
    )
  })
}

/** What is wrong with logins to the database, for whoever must mend it; the server's log has the reasons. */
export function describeFailing(names: readonly string[]): string {
  return `the database does not let in the server's logins ${names.join(', ')}; its log says why`
}
