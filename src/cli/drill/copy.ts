import type { LoginRole } from '../../store/roles.ts'
import type { Query } from '../../store/session.ts'

export type Environment = Readonly<Record<string, string>>

/** A copy of the log that may be destroyed: a database and a data folder of its own. */
export type Copy = {
  readonly name: string
  readonly folder: string
  /** Settings of a server on it. */
  readonly environment: Environment
  /** Works as a superuser of the database, on one connection. */
  readonly asSuperuser: <T>(work: (query: Query) => Promise<T>) => Promise<T>
  readonly as: <T>(role: LoginRole, work: (query: Query) => Promise<T>) => Promise<T>
}
