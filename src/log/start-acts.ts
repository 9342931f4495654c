// What a start has to tell: migrations that were applied to the log, and settings that changed since the last start.
// What a log begins with is told by nobody: a new log is empty.
import { formatHex } from '../../tlog/bytes.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import type { SignAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import {
  insertSettings,
  type RememberedSettings,
  readSettings,
  tellSettings,
  updateSettings,
} from '../store/remembered-settings.ts'
import type { Query } from '../store/session.ts'
import {
  type AppliedMigration,
  hasToldMigrations,
  markMigrationsTold,
  readUntoldMigrations,
  tellMigration,
} from '../store/told-migrations.ts'
import type { SaidAct } from './act-sums.ts'

/** Who did what nobody asked for by a request. */
export const ownActor = 'dendrolog'

/** Tells of migrations that no act tells of yet, whoever applied them. */
export async function tellMigrations(query: Query, schema: Schema, sign: SignAct): Promise<void> {
  if (!(await hasToldMigrations(query, schema))) return markMigrationsTold(query, schema)
  for (const migration of await readUntoldMigrations(query, schema)) {
    await tellMigration(query, schema, migration.version, await sign(migrationAct(migration)))
  }
}

function migrationAct({ version, name, sha256, appliedAt }: AppliedMigration): SaidAct {
  const file = `${String(version).padStart(4, '0')}_${name}`
  return {
    ...{ action: 'dendrolog.migration.applied', actorId: ownActor, resource: `migration:${file}` },
    detail: { version, name, sha256: formatHex(sha256), appliedAt: formatMicroseconds(appliedAt) },
  }
}

/** The settings of a running server as far as they may be shown; defaults are told apart by `source`. */
export type ShownSetting = { readonly name: string; readonly value: string; readonly source: 'default' | 'environment' }

/** A setting that is not what it was; null where it was not there. */
export type ChangedSetting = { readonly name: string; readonly from: string | null; readonly to: string | null }

/** Remembers the settings of this server, and tells of those that are not what they were at its last start. */
export async function tellSettingsChanged(
  query: Query,
  schema: Schema,
  sign: SignAct,
  server: string,
  shown: readonly ShownSetting[],
): Promise<void> {
  const settings = Object.fromEntries(shown.map(({ name, value }) => [name, value]))
  const before = await readSettings(query, schema, server)
  if (before === undefined) return insertSettings(query, schema, server, settings)
  const changes = findChanges(before.settings, shown)
  if (changes.length === 0) return updateSettings(query, schema, server, settings)
  const act: SaidAct = {
    ...{ action: 'dendrolog.settings.changed', actorId: ownActor, resource: `server:${server}` },
    detail: { changes },
  }
  await tellSettings(query, schema, server, before, settings, await sign(act))
}

/** A setting that this version has and the last one had not is a change only where somebody set it. */
export function findChanges(before: RememberedSettings, shown: readonly ShownSetting[]): ChangedSetting[] {
  const changed = shown.flatMap(({ name, value, source }) => {
    const from = before[name] ?? null
    const isSame = from === value || (from === null && source === 'default')
    return isSame ? [] : [{ name, from, to: value }]
  })
  const gone = Object.keys(before).filter((name) => !shown.some((setting) => setting.name === name))
  return [...changed, ...gone.map((name) => ({ name, from: before[name] ?? null, to: null }))]
}
