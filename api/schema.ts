// What a schema is made of (JSON Schema 2020-12, the dialect of OpenAPI 3.1), and the pieces that several routes share.

/** A schema; one with a `title` becomes a component of the document, under that name. */
export type JsonSchema = { readonly [keyword: string]: unknown }

export type Members = Readonly<Record<string, JsonSchema>>

/** An object that always has these members, and sometimes the optional ones. */
export function object(members: Members, optional: Members = {}): JsonSchema {
  return { type: 'object', required: Object.keys(members), properties: { ...members, ...optional } }
}

/** A component of the document. */
export function named(title: string, schema: JsonSchema): JsonSchema {
  return { title, ...schema }
}

export function described(description: string, schema: JsonSchema): JsonSchema {
  return { ...schema, description }
}

export function listOf(items: JsonSchema, itemsMax?: number): JsonSchema {
  return { type: 'array', items, ...(itemsMax === undefined ? {} : { maxItems: itemsMax }) }
}

export function orNull(schema: JsonSchema): JsonSchema {
  return { ...schema, type: [schema.type, 'null'] }
}

export function anyOf(...schemas: readonly JsonSchema[]): JsonSchema {
  return { anyOf: schemas }
}

export function oneOf(...values: readonly (string | number)[]): JsonSchema {
  return { type: typeof values[0] === 'number' ? 'integer' : 'string', enum: values }
}

export function integer(minimum: number = 0, maximum: number = Number.MAX_SAFE_INTEGER): JsonSchema {
  return { type: 'integer', minimum, maximum }
}

/** `maxLength` counts code points, in JSON Schema and here. */
export function textOf(pointsMin: number, pointsMax: number): JsonSchema {
  return { type: 'string', minLength: pointsMin, maxLength: pointsMax }
}

export const text: JsonSchema = { type: 'string' }
export const bytes: JsonSchema = { type: 'string', format: 'binary' }
/** RFC 4648 section 4, with padding. */
export const base64: JsonSchema = { type: 'string', contentEncoding: 'base64', pattern: '^[A-Za-z0-9+/]*={0,2}$' }
export const base64Hash: JsonSchema = { type: 'string', contentEncoding: 'base64', pattern: '^[A-Za-z0-9+/]{43}=$' }
export const hexHash: JsonSchema = { type: 'string', pattern: '^[0-9a-f]{64}$' }
export const uuid: JsonSchema = { type: 'string', format: 'uuid' }
export const time: JsonSchema = { type: 'string', format: 'date-time' }
/** Texts of C2SP and of Prometheus. */
export const plainText: JsonSchema = { type: 'string' }

/** A signed note. */
export const checkpointNote: JsonSchema = described('C2SP tlog-checkpoint: the text of the signed note', text)
export const hashes: JsonSchema = listOf(base64Hash, 64)

export const inclusionProof: JsonSchema = named(
  'InclusionProof',
  object({ leafIndex: integer(), treeSize: integer(1), hashes }),
)
