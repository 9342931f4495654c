// What the catalog says of a log's schema, as facts that do not depend on PostgreSQL's version: text of the catalogs and
// of expressions, no object's number, no order. Every login may read the catalogs.
import { type Row, readBoolean, readText, readTextOrNull } from './row.ts'
import { clusterFacts } from './schema-facts/cluster.ts'
import { functionFacts } from './schema-facts/functions.ts'
import { relationFacts } from './schema-facts/relations.ts'
import type { Query } from './session.ts'

/** A log by the names that migrations filled in, not escaped. */
export type LogNames = { readonly schema: string; readonly prefix: string }

/** Of one object: what is said, by what it is said of. */
export type ObjectFacts = ReadonlyMap<string, string>

export type StoredSchema = {
  readonly objects: ReadonlyMap<string, ObjectFacts>
  /** The newest migration, as `migrate` noted it; undefined where it was applied before there was such a note. */
  readonly migration: number | undefined
  /** Whether the guard was made by somebody who may make event triggers anywhere. */
  readonly isGuardBySuperuser: boolean
}

/** Roles of a log, without its prefix. */
export const logRoles = [
  'ledger_owner_role',
  'app_writer_role',
  'auditor_reader_role',
  'checkpoint_signer_role',
  'verifier_role',
  'database_admin_role',
  'app_state_role',
  'application_role',
  'security_auditor_role',
] as const

/** The note of `migrate` on its table. */
export function migrationNote(version: number): string {
  return `dendrolog: migration ${version}`
}

/** Reads all of one moment: a change that commits meanwhile is in none of the facts. Nobody else uses `query` then. */
export async function readStoredSchema(query: Query, { schema, prefix }: LogNames): Promise<StoredSchema> {
  await query('begin isolation level repeatable read read only')
  try {
    // The plans of a verifier's session are for its rows; names are written with their schemas.
    await query(`set local search_path = pg_catalog; set local enable_sort = on; set local enable_bitmapscan = on;
      set local jit = off`)
    const names = [schema, logRoles.map((role) => prefix + role)]
    const rows: Row[] = []
    for (const statement of [relationFacts, functionFacts, clusterFacts]) rows.push(...(await query(statement, names)))
    const [circumstances = {}] = await query(circumstancesStatement, [schema])
    return {
      objects: gather(rows),
      migration: readNote(readTextOrNull(circumstances, 'note')),
      isGuardBySuperuser: readBoolean(circumstances, 'is_guard_by_superuser'),
    }
  } finally {
    await query('rollback')
  }
}

const circumstancesStatement = `
  select
    obj_description(to_regclass(format('%I.schema_migrations', $1::text)), 'pg_class') as note,
    exists (
      select
      from pg_namespace n
      join pg_roles r on r.oid = n.nspowner
      where n.nspname = $1::text || '_guard'
        and r.rolsuper
    ) as is_guard_by_superuser`

/** Triggers of foreign keys have their functions' names, of which a table has several: what is said of them is joined. */
function gather(rows: readonly Row[]): Map<string, Map<string, string>> {
  const values = new Map<string, Map<string, Set<string>>>()
  for (const row of rows) {
    const [object, label, value] = [readText(row, 'object'), readText(row, 'label'), readText(row, 'value')]
    const facts = values.get(object) ?? new Map<string, Set<string>>()
    values.set(object, facts)
    facts.set(label, (facts.get(label) ?? new Set()).add(value))
  }
  return new Map(
    [...values].map(([object, facts]) => [
      object,
      new Map([...facts].map(([label, set]) => [label, [...set].sort().join(' and ')])),
    ]),
  )
}

function readNote(note: string | null): number | undefined {
  const digits = /^dendrolog: migration ([1-9]\d{0,8})$/.exec(note ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits)
}
