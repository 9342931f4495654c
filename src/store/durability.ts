/** Whether a database keeps what it has committed (DESIGN section 4.3: "logged" is said of what is on the disk). */
import { readText } from './row.ts'
import type { Query } from './session.ts'

/**
 * Settings with which a power cut loses or tears what was committed, as `name = value`; those of server, database and
 * role, as they come together for the login that asks. The session that commits entries sets its own
 * `synchronous_commit` (session.ts); checkpoints and quarantine are written without.
 */
export async function readUnsafeSettings(query: Query): Promise<readonly string[]> {
  const rows = await query(
    `select name, setting
     from pg_catalog.pg_settings
     where name in ('fsync', 'full_page_writes', 'synchronous_commit')
       and setting = 'off'
     order by name`,
  )
  return rows.map((row) => `${readText(row, 'name')} = ${readText(row, 'setting')}`)
}
