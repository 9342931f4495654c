import type { Context, Hono } from 'hono'
import type { Env } from './env.ts'

const open = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After, X-Request-Id' }
const preflight = {
  ...open,
  'access-control-allow-methods': 'GET, HEAD',
  'access-control-allow-headers': 'Accept, Authorization, X-Request-Id',
  'access-control-max-age': '86400',
}

/**
 * Lets pages of any origin read `path`, errors included. Only for what is public, and before its handlers. Nothing is
 * given away: a browser never adds credentials to such a request by itself.
 */
export function openToBrowsers(app: Hono<Env>, path: string): void {
  app.use(path, async (c, next) => {
    await next()
    if (c.get('isOpen') === true && c.res.ok) return
    for (const [name, value] of Object.entries(open)) c.res.headers.set(name, value)
  })
  app.options(path, (c) => c.body(null, 204, preflight))
}

/**
 * Header fields of an answer below such a path, with what `openToBrowsers` would set afterwards. For what is asked for
 * often: fields that are set on an answer make an object of them first, which takes 5 us.
 */
export function openHeaders(c: Context<Env>, headers: Readonly<Record<string, string>>): Record<string, string> {
  c.set('isOpen', true)
  return { ...headers, ...open }
}
