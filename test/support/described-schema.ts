/** The schema that the migrations make, as a database that has them says it: what `migrations/schema.json` must be. */
import { randomBytes } from 'node:crypto'
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientConfig } from 'pg'
import { inject } from 'vitest'
import { type ExpectedObject, type ExpectedSchema, partitionName } from '../../src/audit/expected-schema.ts'
import { withConnection, withDatabase } from '../../src/store/administrator.ts'
import { openReadSession } from '../../src/store/copy-out.ts'
import { migrate } from '../../src/store/migrate.ts'
import { type LogNames, logRoles, readStoredSchema } from '../../src/store/schema-facts.ts'
import type {} from './cluster.ts'

export const migrationsFolder: string = join(import.meta.dirname, '..', '..', 'migrations')

const silent = (): void => {}
/** The first one with a guard: before it nobody could say what a log's schema is. */
const firstDescribed = 10

export type NamedLog = {
  readonly names: LogNames
  readonly admin: ClientConfig
  /** Applies the migrations up to a number, or all. */
  readonly migrate: (upTo?: number) => Promise<void>
  /** Removes database and roles. */
  readonly drop: () => Promise<void>
}

/** An empty database, with names that nobody else has for its log. */
export async function createNamedLog(schema: string): Promise<NamedLog> {
  const { admin } = inject('cluster')
  const suffix = randomBytes(6).toString('hex')
  const names = { schema, prefix: `zq${suffix}_` }
  const database = `dendrolog_test_${suffix}`
  const roles = logRoles.map((role) => names.prefix + role)
  await withConnection(admin, silent, (client) => client.query(`create database ${database}`))
  const config = withDatabase(admin, database)
  return {
    names,
    admin: config,
    migrate: async (upTo = Number.POSITIVE_INFINITY) => {
      const directory = await mkdtemp(join(tmpdir(), 'dendrolog-migrations-'))
      try {
        const files = (await readdir(migrationsFolder)).filter((name) => name.endsWith('.sql'))
        for (const name of files.filter((file) => Number(file.slice(0, 4)) <= upTo)) {
          await copyFile(join(migrationsFolder, name), join(directory, name))
        }
        await migrate(config, { directory, ...names, log: silent })
      } finally {
        await rm(directory, { recursive: true })
      }
    },
    drop: () =>
      withConnection(admin, silent, async (client) => {
        await client.query(`drop database ${database} with (force)`)
        await client.query(`drop role if exists ${roles.join(', ')}`)
      }),
  }
}

/** Of each object what is said of it after each migration that changes it. */
export async function describeMigrations(): Promise<ExpectedSchema> {
  const log = await createNamedLog('zqschema')
  try {
    const newest = (await readdir(migrationsFolder)).filter((name) => name.endsWith('.sql')).length
    const objects = new Map<string, ExpectedObject[]>()
    for (let migration = firstDescribed; migration <= newest; migration++) {
      await log.migrate(migration)
      const described = await describe(log)
      for (const object of new Set([...objects.keys(), ...described.keys()])) {
        const facts = described.get(object) ?? null
        const variants = objects.get(object) ?? []
        objects.set(object, variants)
        const isNew = JSON.stringify(facts) !== JSON.stringify(variants.at(-1)?.facts ?? null)
        if (isNew) variants.push({ since: migration === firstDescribed ? 1 : migration, facts })
      }
    }
    return { newest, objects: Object.fromEntries(sorted(objects)) }
  } finally {
    await log.drop()
  }
}

async function describe({ admin, names }: NamedLog): Promise<Map<string, Record<string, string>>> {
  const session = await openReadSession(admin)
  try {
    const { objects } = await readStoredSchema(session.query, names)
    const described = [...objects].flatMap(([object, facts]): [string, Record<string, string>][] => {
      const isPartition = object.includes('.audit_logs_p')
      if (isPartition && !object.endsWith(partitionName(1))) return []
      const template = (text: string): string => (isPartition ? partitionTemplate : logTemplate)(text, names)
      const filled = [...facts].map(([label, value]): [string, string] => [template(label), template(value)])
      return [[template(object), Object.fromEntries(sorted(filled))]]
    })
    return new Map(described)
  } finally {
    await session.close()
  }
}

function logTemplate(text: string, { schema, prefix }: LogNames): string {
  return text.replaceAll(schema, '{{schema}}').replaceAll(prefix, '{{prefix}}')
}

function partitionTemplate(text: string, names: LogNames): string {
  return logTemplate(text, names)
    .replaceAll(partitionName(1), '{{partition}}')
    .replace(`FROM ('1') TO ('65537')`, `FROM ('{{from}}') TO ('{{to}}')`)
}

function sorted<T>(entries: Iterable<[string, T]>): [string, T][] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
}
