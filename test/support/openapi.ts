/** The server's own OpenAPI document, and whether real answers are what it says. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { decode } from 'cbor-x'
import type { Hono } from 'hono'
import type { Env } from '../../api/env.ts'
import type { OpenApiDocument } from '../../api/openapi.ts'

export type Described = {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly roles: string[]
}

export type Checker = {
  readonly document: OpenApiDocument
  readonly operations: readonly Described[]
  /** Sends a request; throws where the answer is not one that the document describes. */
  readonly request: (path: string, init?: RequestInit) => Promise<CheckedAnswer>
  /** What is wrong with a value by the schema at this place of the document. */
  readonly errorsAt: (pointer: readonly string[], value: unknown) => readonly string[]
}

export type CheckedAnswer = {
  readonly id: string
  readonly status: number
  readonly type: string
  readonly headers: Headers
  readonly value: unknown
}

export async function openChecker(app: Hono<Env>): Promise<Checker> {
  const document = (await (await app.request('/openapi.json')).json()) as OpenApiDocument
  const ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(closed(document) as object, 'document')
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, security }]) => ({
      ...{ id: String(operationId), method: method.toUpperCase(), path },
      roles: (security as object[]).flatMap((scheme) => Object.keys(scheme)),
    })),
  )
  const errorsAt = (pointer: readonly string[], value: unknown): readonly string[] => {
    const place = pointer.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const validate = ajv.compile({ $ref: `document#/${place}` })
    validate(value)
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`)
  }
  const request = async (path: string, init: RequestInit = {}): Promise<CheckedAnswer> => {
    const method = init.method ?? 'GET'
    const operation = operationAt(operations, method, path)
    const response = await app.request(path, init)
    const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? ''
    const value = await readValue(response, type)
    const responses = document.paths[operation.path]?.[method.toLowerCase()]?.responses as Record<string, unknown>
    const status = String(response.status) in responses ? String(response.status) : 'default'
    const place = ['paths', operation.path, method.toLowerCase(), 'responses', status, 'content', type, 'schema']
    const errors = errorsAt(place, value)
    if (errors.length > 0) throw new Error(`${method} ${path}: ${response.status}, ${errors.join('\n')}`)
    return { id: operation.id, status: response.status, type, headers: response.headers, value }
  }
  return { document, operations, request, errorsAt }
}

async function readValue(response: Response, type: string): Promise<unknown> {
  if (type.endsWith('json')) return response.json()
  if (type === 'text/event-stream') return readFirst(response)
  if (type !== 'application/cbor') return response.text()
  return withoutBigInts(decode(new Uint8Array(await response.arrayBuffer())))
}

/** A stream has no end: its first piece will do. */
async function readFirst(response: Response): Promise<string> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const { value } = await reader.read()
  await reader.cancel()
  return new TextDecoder().decode(value)
}

function withoutBigInts(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(withoutBigInts)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withoutBigInts(member)]))
}

/** The one with the most of the path spelt out. */
function operationAt(operations: readonly Described[], method: string, path: string): Described {
  const [bare = ''] = path.split('?')
  const matching = operations.filter((operation) => operation.method === method && patternOf(operation.path).test(bare))
  const [best] = matching.sort((a, b) => a.path.split('{').length - b.path.split('{').length)
  if (best === undefined) throw new Error(`${method} ${bare} is not described`)
  return best
}

function patternOf(path: string): RegExp {
  return new RegExp(
    `^${path
      .replaceAll('.', '\\.')
      .replaceAll(/\{index\}/g, '.+')
      .replaceAll(/\{\w+\}/g, '[^/]+')}$`,
  )
}

/** What is described must be all that there is: objects that say what they require have no further members. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, closed(member)]))
  return 'properties' in copy && Array.isArray(copy.required) ? { ...copy, additionalProperties: false } : copy
}
