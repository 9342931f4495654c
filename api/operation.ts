import type { Context } from 'hono'
import { chooseType } from './accept.ts'
import type { Need } from './authenticate.ts'
import { answerInCbor, cborType } from './cbor.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'
import type { Parameters } from './parameters.ts'
import { Problem, type ProblemCode } from './problem.ts'
import { sentRequestId } from './request-id.ts'
import type { JsonSchema } from './schema.ts'

// What a route says of itself stands beside its handler: the document at /openapi.json is made of nothing else.

/** Bodies by their media types, the dearest first: what a client gets that does not say what it takes. */
export type Content = Readonly<Record<string, JsonSchema>>

export type Answer = { readonly doc: string; readonly content: Content }

/** Who may call: everybody, or whoever has a token of the role, with this scope. */
export type Caller = 'everybody' | Need

export type Operation = {
  /** Unique; generated clients call their function so. */
  readonly id: string
  readonly summary: string
  readonly doc?: string
  readonly who: Caller
  /** Where the route's own path has a wildcard. */
  readonly path?: string
  readonly pathParameters?: Parameters
  readonly query?: Parameters
  readonly headers?: Parameters
  readonly body?: Content
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>
  /** Beside those that follow from the caller, the parameters and the body. */
  readonly problems?: readonly ProblemCode[]
}

/** `type` is the media type that was chosen of those that are described. */
export type Handler = (c: Context<Env>, type: string) => Response | Promise<Response>

/** JSON, and the same in CBOR. */
export function jsonOrCbor(schema: JsonSchema): Content {
  return { [jsonType]: schema, [cborType]: schema }
}

export const jsonType = 'application/json'
export const textType = 'text/plain'

const operations = new WeakMap<object, Operation>()

/** The description of a handler that came from `describe`. */
export function operationOf(handler: object): Operation | undefined {
  return operations.get(handler)
}

/**
 * A handler that answers with what is described: 406 where the client takes none of it, before anything is done. The
 * handler itself answers in JSON where CBOR is offered too. A request id that the client sent comes back; where it sent
 * none there is one in problems only: making and sending one took 2 to 3 us of the 85 of a single submission. What
 * stands here takes 0.03 us of those.
 */
export function describe(operation: Operation, handler: Handler): (c: Context<Env>) => Response | Promise<Response> {
  const offered = [...new Set(Object.values(operation.answers).flatMap(({ content }) => Object.keys(content)))]
  const first = offered[0] ?? jsonType
  const described = (c: Context<Env>): Response | Promise<Response> => {
    const accept = headerOf(c, 'accept')
    const isPlain = accept === undefined || accept.trim() === '' || accept === '*/*' || accept === first
    const requestId = sentRequestId(c)
    if (isPlain && requestId === undefined) return handler(c, first)
    return answerAs(isPlain ? first : negotiate(accept, offered), requestId, handler, c)
  }
  operations.set(described, operation)
  return described
}

async function answerAs(
  type: string,
  requestId: string | undefined,
  handler: Handler,
  c: Context<Env>,
): Promise<Response> {
  const answer = await handler(c, type)
  const chosen = type === cborType ? await answerInCbor(answer) : answer
  if (requestId !== undefined) chosen.headers.set('x-request-id', requestId)
  return chosen
}

function negotiate(accept: string, offered: readonly string[]): string {
  const type = chooseType(accept, offered)
  if (type !== undefined) return type
  const want = `Accept: this path answers with ${offered.map(bare).join(' or ')}`
  throw new Problem('not-acceptable', want, { headers: { vary: 'Accept' } })
}

function bare(type: string): string {
  return type.split(';', 1)[0] ?? type
}
