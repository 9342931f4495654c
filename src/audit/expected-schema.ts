import { readFile } from 'node:fs/promises'
import type { LogNames, ObjectFacts } from '../store/schema-facts.ts'

/**
 * What migrations make, as `migrations/schema.json` says it: it comes with the program, since a superuser could write
 * anything into the database. Of each object what is said from a migration on; null where it is dropped.
 */
export type ExpectedSchema = {
  readonly newest: number
  readonly objects: Readonly<Record<string, readonly ExpectedObject[]>>
}

export type ExpectedObject = { readonly since: number; readonly facts: Readonly<Record<string, string>> | null }

/** The schema after a migration, with a log's own names. */
export type SchemaState = {
  readonly migration: number
  readonly objects: ReadonlyMap<string, ObjectFacts>
  /** What any partition of the ledger must be, by the first sequence number in it. */
  readonly partitionFrom: (first: number) => ObjectFacts
}

/** Entries of a partition. */
export const partitionEntries = 65_536

const partitionObject = '{{schema}}.{{partition}}'

export async function readExpectedSchema(path: string): Promise<ExpectedSchema> {
  const value: unknown = JSON.parse(await readFile(path, 'utf8'))
  if (isExpectedSchema(value)) return value
  throw new Error(`${path}: is not the description of a schema`)
}

/** The states that the schema had, the newest first; each differs from the next. */
export function statesOf({ newest, objects }: ExpectedSchema, names: LogNames): readonly SchemaState[] {
  const migrations = new Set(Object.values(objects).flatMap((variants) => variants.map(({ since }) => since)))
  const [last = newest, ...earlier] = [...migrations].sort((a, b) => b - a)
  return [stateAt(objects, names, Math.max(last, newest)), ...earlier.map((each) => stateAt(objects, names, each))]
}

/** The name of the partition that begins with a sequence number. */
export function partitionName(first: number): string {
  return `audit_logs_p${String(first).padStart(16, '0')}`
}

function stateAt(objects: ExpectedSchema['objects'], names: LogNames, migration: number): SchemaState {
  const filled = new Map<string, ObjectFacts>()
  let partition: ObjectFacts = new Map()
  for (const [object, variants] of Object.entries(objects)) {
    const facts = variants.findLast(({ since }) => since <= migration)?.facts
    if (facts === undefined || facts === null) continue
    const own = fillFacts(Object.entries(facts), (text) => fill(text, names))
    if (object === partitionObject) partition = own
    else filled.set(fill(object, names), own)
  }
  return {
    migration,
    objects: filled,
    partitionFrom: (first) => fillFacts(partition, (text) => fillPartition(text, first)),
  }
}

function fillFacts(facts: Iterable<[string, string]>, fillText: (text: string) => string): ObjectFacts {
  return new Map(Array.from(facts, ([label, value]) => [fillText(label), fillText(value)]))
}

function fill(text: string, { schema, prefix }: LogNames): string {
  return text.replaceAll('{{schema}}', schema).replaceAll('{{prefix}}', prefix)
}

function fillPartition(text: string, first: number): string {
  if (!text.includes('{{')) return text
  return text
    .replaceAll('{{partition}}', partitionName(first))
    .replaceAll('{{from}}', String(first))
    .replaceAll('{{to}}', String(first + partitionEntries))
}

function isExpectedSchema(value: unknown): value is ExpectedSchema {
  if (!isObject(value) || typeof value.newest !== 'number' || !isObject(value.objects)) return false
  return Object.values(value.objects).every((variants) => Array.isArray(variants) && variants.every(isExpectedObject))
}

function isExpectedObject(value: unknown): boolean {
  if (!isObject(value) || typeof value.since !== 'number') return false
  return (
    value.facts === null ||
    (isObject(value.facts) && Object.values(value.facts).every((fact) => typeof fact === 'string'))
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
