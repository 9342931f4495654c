/** Whether a database keeps what it has committed (DESIGN section 4.3: "logged" is said of what is on the disk). */
import { readText } from './row.ts'
import type { Query } from './session.ts'

/**
 * Settings of the server with which a power cut loses or tears what was committed, as `name = value`. Whatever
 * `synchronous_commit` is, a writer's session sets its own (session.ts); these two cannot be set by a session.
 */
export async function readUnsafeSettings(query: Query): Promise<readonly string[]> {
  const rows = await query(
    `select name, setting
     from pg_catalog.pg_settings
     where name in ('fsync', 'full_page_writes')
       and setting <> 'on'
     order by name`,
  )
  return rows.map((row) => `${readText(row, 'name')} = ${readText(row, 'setting')}`)
}
