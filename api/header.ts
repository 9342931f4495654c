import type { Context } from 'hono'
import type { Env } from './env.ts'

/**
 * A request header; `name` in lower case. From Node's request where there is one: the web `Headers` that stand in for
 * it are made of all fields first (7 us a request).
 */
export function headerOf(c: Context<Env>, name: string): string | undefined {
  const incoming = c.env?.incoming
  if (incoming === undefined) return c.req.header(name)
  const value = incoming.headers[name]
  return typeof value === 'string' ? value : value?.join(', ')
}
