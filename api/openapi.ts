import type { Hono } from 'hono'
import { rolesOf } from '../src/auth/scope.ts'
import { isScope } from './authenticate.ts'
import { cborType } from './cbor.ts'
import type { Env } from './env.ts'
import { type Answer, type Caller, type Content, type Operation, operationOf } from './operation.ts'
import type { Parameters } from './parameters.ts'
import { type ProblemCode, statusOf } from './problem.ts'
import { anyOf, type JsonSchema } from './schema.ts'
import { problemOf } from './schema-problem.ts'

/** An OpenAPI 3.1 document. */
export type OpenApiDocument = {
  readonly openapi: '3.1.0'
  readonly info: JsonSchema
  readonly servers: readonly JsonSchema[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>>; readonly securitySchemes: JsonSchema }
}

const intro = `Errors are RFC 9457 problems with a stable \`code\`. Where a path answers in CBOR too, member names and texts are
those of the JSON (base64 and hex stay text). \`Accept\` chooses; without it the answer is JSON, and what a path does not
have is 406. An \`X-Request-Id\` (up to 128 of \`A-Z a-z 0-9 _ . : -\`) comes back in the answer; problems always have one.`

/** The document of an app: of each route what it says of itself. */
export function openApiOf(app: Hono<Env>, origin: string): OpenApiDocument {
  const components = new Components()
  const paths: Record<string, Record<string, JsonSchema>> = {}
  for (const { method, path, handler } of app.routes) {
    const operation = operationOf(handler)
    if (operation === undefined) continue
    const name = operation.path ?? path.replaceAll(/:(\w+)/g, '{$1}')
    paths[name] = { ...paths[name], [method.toLowerCase()]: components.hoist(formatOperation(operation)) }
  }
  return {
    openapi: '3.1.0',
    info: { title: `Dendrolog: ${origin}`, version: '1', description: intro },
    servers: [{ url: '/' }],
    paths,
    components: { schemas: components.schemas, securitySchemes },
  }
}

const securitySchemes: JsonSchema = Object.fromEntries(
  ['writer', 'auditor', 'admin'].map((role) => [
    role,
    { type: 'http', scheme: 'bearer', description: `A token of the role ${role}` },
  ]),
)

function formatOperation(operation: Operation): JsonSchema {
  const { id, summary, doc, who, body, pathParameters = {}, query = {}, headers = {} } = operation
  return {
    operationId: id,
    summary,
    ...(doc === undefined ? {} : { description: doc }),
    parameters: [
      ...formatParameters('path', pathParameters),
      ...formatParameters('query', query),
      ...formatParameters('header', headers),
    ],
    ...(body === undefined ? {} : { requestBody: { required: true, content: formatContent(body) } }),
    security: securityOf(who),
    responses: { ...formatAnswers(operation.answers), ...formatProblems(operation) },
  }
}

/** A scope stands with each role that it is a part of: one of them will do. */
function securityOf(who: Caller): JsonSchema[] {
  if (who === 'everybody') return []
  return isScope(who) ? rolesOf(who).map((role) => ({ [role]: [who] })) : [{ [who]: [] }]
}

function formatParameters(place: string, parameters: Parameters): JsonSchema[] {
  return Object.entries(parameters).map(([name, { schema, doc, isRequired }]) => {
    return { name, in: place, required: isRequired, description: doc, schema }
  })
}

function formatAnswers(answers: Readonly<Record<number, Answer>>): JsonSchema {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { doc, content }]) => [
      status,
      { description: doc, content: formatContent(content) },
    ]),
  )
}

function formatContent(content: Content): JsonSchema {
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))
}

/** By status; a status that answers too has both. */
function formatProblems(operation: Operation): JsonSchema {
  const codes = problemsOf(operation)
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) byStatus.set(statusOf(code), [...(byStatus.get(statusOf(code)) ?? []), code])
  const responses: Record<string, JsonSchema> = {}
  for (const [status, ofStatus] of byStatus) {
    const answer = operation.answers[status]
    const content = eitherOf(answer?.content ?? {}, problemContent(ofStatus))
    const doc = [...(answer === undefined ? [] : [answer.doc]), ofStatus.join(', ')].join('; ')
    responses[status] = { description: doc, content: formatContent(content) }
  }
  return { ...responses, default: { description: 'Any other problem', content: formatContent(problemContent()) } }
}

function eitherOf(first: Content, second: Content): Content {
  const both = Object.entries(second).map(([type, schema]) => {
    const other = first[type]
    return [type, other === undefined ? schema : anyOf(other, schema)]
  })
  return { ...first, ...Object.fromEntries(both) }
}

function problemContent(codes?: readonly ProblemCode[]): Content {
  return { 'application/problem+json': problemOf(codes), [cborType]: problemOf(codes) }
}

/** What a request can be refused for. */
function problemsOf({ who, pathParameters, query, headers, body, problems = [] }: Operation): readonly ProblemCode[] {
  const isParametrised = pathParameters !== undefined || query !== undefined || headers !== undefined
  return [
    ...(isParametrised ? (['malformed-parameter'] as const) : []),
    ...(who === 'everybody' ? [] : (['unauthenticated', 'forbidden', 'rate-limited'] as const)),
    'not-acceptable',
    ...(body === undefined ? [] : bodyProblems),
    ...problems,
    ...(['unavailable', 'check-failed', 'internal'] as const),
  ]
}

const bodyProblems = [
  'malformed-encoding',
  'body-incomplete',
  'body-too-large',
  'unsupported-encoding',
  'body-timeout',
] as const

/** Schemas with a title, each once. */
class Components {
  readonly schemas: Record<string, JsonSchema> = {}

  /** The same, with references instead of the schemas that have a title. */
  hoist(schema: JsonSchema): JsonSchema {
    return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, this.#hoistValue(value)]))
  }

  #hoistValue(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item: unknown) => this.#hoistValue(item))
    if (!isSchema(value)) return value
    const { title } = value
    if (typeof title !== 'string') return this.hoist(value)
    this.schemas[title] ??= this.hoist(value)
    return { $ref: `#/components/schemas/${title}` }
  }
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null
}
