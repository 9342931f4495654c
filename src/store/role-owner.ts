/**
 * Which log the roles of a PostgreSQL server are for. Roles are the server's and logs are a schema's: a second log with
 * the same prefix would change the passwords of the first. So the owner's role says in its comment whose it is.
 */
import { type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg'
import { withConnection, withServerLock } from './administrator.ts'
import { loginRoles } from './roles.ts'

/** The place of a log on its server. */
export type LogHome = { readonly database: string; readonly schema: string }

/** What is known of the roles of a prefix. */
export type RoleOwner = {
  /** The log of `config` and `schema`. */
  readonly here: LogHome
  /** The log that the roles say they are of; undefined where they do not say, or where its database is gone. */
  readonly owner: LogHome | undefined
  /** Whether one of them may log in already: somebody gave it a password. */
  readonly mayLogIn: boolean
}

const markPattern = /^dendrolog: (\{.*\})$/m

/** Reads who has the roles; any login may ask. */
export function readRoleOwner(config: ClientConfig, prefix: string, schema: string): Promise<RoleOwner> {
  return withConnection(
    config,
    () => {},
    async (client) => {
      const { rows } = await client.query<{ database: string; comment: string | null; may_log_in: boolean }>(
        `select current_database()::text as database,
           (select pg_catalog.shobj_description(r.oid, 'pg_authid')
            from pg_catalog.pg_roles as r
            where r.rolname = $1) as comment,
           exists (select from pg_catalog.pg_roles as r where r.rolname = any ($2) and r.rolcanlogin) as may_log_in`,
        [ownerRole(prefix), loginRoles.map((role) => prefix + role)],
      )
      const [row] = rows
      const marked = parseMark(row?.comment ?? '')
      const found = await client.query('select from pg_catalog.pg_database where datname = $1', [marked?.database])
      const here = { database: row?.database ?? '', schema }
      return { here, owner: found.rowCount === 1 ? marked : undefined, mayLogIn: row?.may_log_in === true }
    },
  )
}

/**
 * Marks the roles, which must exist, as those of this log, and gives their owner: another log's where that was faster.
 * An administrator who may not comment on them goes on; `log` is told.
 */
export function claimRoles(
  config: ClientConfig,
  prefix: string,
  schema: string,
  log: (message: string) => void,
): Promise<RoleOwner> {
  return withServerLock(config, log, async () => {
    const found = await readRoleOwner(config, prefix, schema)
    if (found.owner !== undefined) return found
    await writeMark(config, prefix, found.here).catch((error: Error & { code?: string }) => {
      if (error.code !== '42501') throw error
      log(`role ${ownerRole(prefix)} cannot be marked as this log's: ${error.message}`)
    })
    return { ...found, owner: found.here }
  })
}

export function isSamePlace(one: LogHome, other: LogHome): boolean {
  return one.database === other.database && one.schema === other.schema
}

async function writeMark(config: ClientConfig, prefix: string, { database, schema }: LogHome): Promise<void> {
  const mark = `dendrolog: ${JSON.stringify({ database, schema })}`
  await withConnection(
    config,
    () => {},
    (client) => client.query(`comment on role ${escapeIdentifier(ownerRole(prefix))} is ${escapeLiteral(mark)}`),
  )
}

function ownerRole(prefix: string): string {
  return `${prefix}ledger_owner_role`
}

function parseMark(comment: string): LogHome | undefined {
  const text = markPattern.exec(comment)?.[1]
  if (text === undefined) return undefined
  try {
    const { database, schema } = JSON.parse(text) as Partial<LogHome>
    return typeof database === 'string' && typeof schema === 'string' ? { database, schema } : undefined
  } catch {
    return undefined
  }
}
