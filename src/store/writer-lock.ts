/** The lock of the writer's login: put on by the login that keeps state, taken off by an administrator. */
import { type ClientConfig, escapeIdentifier } from 'pg'
import { withConnection } from './administrator.ts'
import type { Schema } from './batch.ts'
import { readBoolean, readInteger, readText } from './row.ts'
import type { Query } from './session.ts'

/**
 * Locks the writer's login out and ends its sessions; how many, at least. `query` is of the login that keeps state, and
 * of no transaction: a session that logged in while the first call ran is ended by the second, which still sees others.
 */
export async function lockWriter(query: Query, schema: Schema): Promise<number> {
  let ended = 0
  for (let call = 0; call < 2; call++) {
    const [row] = await query(`select ${schema.state}.lock_writer() as ended`)
    ended = Math.max(ended, row === undefined ? 0 : readInteger(row, 'ended'))
  }
  return ended
}

/**
 * Why `lockWriter` would be refused, undefined where it would not: the function is its owner's, who was whoever migrated.
 * Any login may ask. `writer` is the role's name.
 */
export async function readWriterLockProblem(query: Query, schema: Schema, writer: string): Promise<string | undefined> {
  const [row] = await query(
    `select r.rolname as owner,
       r.rolsuper
       or r.rolcreaterole
       and (pg_has_role(r.oid, 'pg_signal_backend', 'usage') or pg_has_role(r.oid, $2::name, 'usage'))
       and (
         current_setting('server_version_num')::integer < 160000
         or pg_has_role(r.oid, $2::name, 'member with admin option')) as may_lock
     from pg_catalog.pg_proc p
     join pg_catalog.pg_roles r on r.oid = p.proowner
     where p.oid = to_regprocedure($1)`,
    [`${schema.state}.lock_writer()`, writer],
  )
  if (row === undefined) return 'the function lock_writer is missing: let `dendrolog migrate` make it'
  if (readBoolean(row, 'may_lock')) return undefined
  const owner = readText(row, 'owner')
  return `role ${owner}, to whom the function lock_writer belongs, may not lock ${writer} and end its sessions`
}

/** As whom a connection is logged in. */
export async function readLogin(query: Query): Promise<string> {
  const [row = {}] = await query('select session_user::text as login')
  return readText(row, 'login')
}

/** Lets the writer log in again. `config` must be an administrator's. */
export async function unlockWriter(config: ClientConfig, writer: string): Promise<void> {
  await withConnection(
    config,
    () => {},
    (client) => client.query(`alter role ${escapeIdentifier(writer)} login`),
  )
}
