import type { Hono } from 'hono'
import { payloadBytesMax, payloadDepthMax } from '../../src/ingest/record.ts'
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
  app.get('/readyz', (c) => {
    const { isReady, problem, ...sizes } = server.log.health
    return c.json(
      { status: isReady ? 'ready' : 'not ready', ...(problem ? { problem } : {}), ...sizes },
      isReady ? 200 : 503,
    )
  })
}
