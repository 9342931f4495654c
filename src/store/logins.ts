/** Whether the logins of a server are those of its roles, at the start and while it runs. */
import { settleWithin } from '../ops/time-out.ts'
import { readBoolean, readText } from './row.ts'
import type { Query } from './session.ts'

/** A login, the role on the server that it must have, and the schema that this role works in. */
export type ExpectedLogin = { readonly role: string; readonly schema: string }

/**
 * What keeps a connection from serving as its role, as a sentence; undefined where nothing does. A login of another
 * name serves where it inherits the role's rights. Throws what connecting throws.
 */
export async function readLoginProblem(query: Query, { role, schema }: ExpectedLogin): Promise<string | undefined> {
  const [row] = await query(
    `select session_user::text as login,
       current_database()::text as database,
       (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = session_user) as is_superuser,
       exists (select from pg_catalog.pg_roles as r
               where r.rolname = $1 and pg_catalog.pg_has_role(session_user, r.oid, 'usage')) as has_role,
       exists (select from pg_catalog.pg_namespace as n
               where n.nspname = $2 and pg_catalog.has_schema_privilege(n.oid, 'usage')) as has_schema`,
    [role, schema],
  )
  if (row === undefined) throw new Error('a select without from gave no row')
  const login = readText(row, 'login')
  if (readBoolean(row, 'is_superuser')) return `${login} is a superuser, want ${role}: an administrator never serves`
  if (!readBoolean(row, 'has_role')) return `${login} is not ${role} and has not its rights; use the login of ${role}`
  if (readBoolean(row, 'has_schema')) return undefined
  return `${role} finds no schema ${schema} in database ${readText(row, 'database')}: correct the database, or migrate it`
}

export type WatchedLogin = ExpectedLogin & { readonly name: string; readonly query: Query }

const lookMaxMs = 2_000
const keptMs = 1_000

/** Looks at logins when it is asked, at most once a second, however many ask. */
export class LoginWatch {
  readonly #logins: readonly WatchedLogin[]
  readonly #onChange: (problems: readonly string[]) => void
  #looking: Promise<readonly string[]> = Promise.resolve([])
  #lookedAt = Number.NEGATIVE_INFINITY
  #told = ''

  /** `onChange` gets what is wrong, with the reasons, when that becomes something else. */
  constructor(logins: readonly WatchedLogin[], onChange: (problems: readonly string[]) => void) {
    this.#logins = logins
    this.#onChange = onChange
  }

  /** Names of the logins that do not serve, by a look that is at most a second old. Never rejects. */
  failing(): Promise<readonly string[]> {
    if (performance.now() - this.#lookedAt >= keptMs) {
      this.#lookedAt = Number.POSITIVE_INFINITY
      this.#looking = this.#look().finally(() => {
        this.#lookedAt = performance.now()
      })
    }
    return this.#looking
  }

  async #look(): Promise<readonly string[]> {
    const found = await Promise.all(this.#logins.map(findProblem))
    const problems = this.#logins.flatMap(({ name }, i) => (found[i] === undefined ? [] : [`${name}: ${found[i]}`]))
    if (problems.join() !== this.#told) this.#onChange(problems)
    this.#told = problems.join()
    return this.#logins.filter((_, i) => found[i] !== undefined).map(({ name }) => name)
  }
}

async function findProblem(login: WatchedLogin): Promise<string | undefined> {
  try {
    return await settleWithin(lookMaxMs, 'look at a login', readLoginProblem(login.query, login))
  } catch (error) {
    return (error as Error).message
  }
}
