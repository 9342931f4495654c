import type { Context } from 'hono'
import Negotiator from 'negotiator'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'
import type { Env } from './server.ts'

/**
 * The media type of an answer, of those that there are: what `Accept` likes best, the first where it does not care.
 * A 406 names them where it takes none (RFC 9110 12.5.1).
 */
export function chooseMediaType<T extends string>(c: Context<Env>, types: readonly [T, ...T[]]): T {
  const accept = headerOf(c, 'accept')
  if (accept === undefined) return types[0]
  const chosen = new Negotiator({ headers: { accept } }).mediaType([...types])
  const type = types.find((each) => each === chosen)
  if (type !== undefined) return type
  throw new Problem('not-acceptable', `Accept: this path has ${types.join(' and ')}`, { headers: { vary: 'Accept' } })
}
