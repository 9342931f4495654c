import type { Context } from 'hono'
import { parseStrict } from '../tlog/json-scan.ts'
import { Tape } from '../tlog/json-tape.ts'
import type { Sender } from './authenticate.ts'
import { withBody } from './body.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'
import type { Server } from './server.ts'

const bodyBytesMax = 16_384
const depthMax = 4

/** The members of a request that is a small JSON object. */
export type Members = Readonly<Record<string, unknown>>

/**
 * Answers with what `use` makes of a small JSON object, read strictly. Throws `unsupported-media-type`, `malformed-json`,
 * `json-not-strict`, and `malformed-body` for members that are not `known`.
 */
export function withMembers(
  server: Server,
  c: Context<Env>,
  known: readonly string[],
  sender: Sender,
  use: (members: Members) => Promise<Response>,
): Promise<Response> {
  const [type = ''] = (headerOf(c, 'content-type') ?? 'application/json').toLowerCase().split(';')
  if (type.trim() !== 'application/json') throw new Problem('unsupported-media-type', 'want application/json')
  const limits = {
    bytesMax: bodyBytesMax,
    arrivalMs: server.times.answerMs,
    paceMs: server.times.paceMs,
    budget: server.bodyBudget,
  }
  return withBody(c, limits, sender, (body) => use(readMembers(parseStrict(body, new Tape(depthMax)), known)))
}

function readMembers(value: unknown, known: readonly string[]): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformedBody('', 'want an object')
  const unknown = Object.keys(value).find((name) => !known.includes(name))
  if (unknown !== undefined) throw malformedBody(pointerOf(unknown), `is no member here: want ${known.join(', ')}`)
  return value as Members
}

/** A problem with the member that `pointer` (JSON pointer) leads to. */
export function malformedBody(pointer: string, reason: string): Problem {
  return new Problem('malformed-body', `${pointer === '' ? 'the body' : pointer}: ${reason}`, { pointer })
}

/** RFC 6901; a name may be as long as a body. */
function pointerOf(name: string): string {
  return `/${name.slice(0, 80).replaceAll('~', '~0').replaceAll('/', '~1')}`
}
