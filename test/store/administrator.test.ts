import { Client } from 'pg'
import { expect, test } from 'vitest'
import { withDatabase, withLogin } from '../../src/store/administrator.ts'

/** What the driver makes of a connection string, without connecting. */
function parametersOf(connectionString: string | undefined): Record<string, unknown> {
  const { host, user, database, password, port } = new Client(connectionString ?? '')
  return { host, user, database, password, port }
}

const socket = { host: '/run/postgresql', port: 5432 }

test.each([
  ['postgresql:///log?host=/run/postgresql', socket],
  ['postgresql://%2Frun%2Fpostgresql/log', socket],
  ['postgresql://admin@%2Frun%2Fpostgresql/log', socket],
  ['postgresql://admin:p%40ss@/log?host=/run/postgresql', socket],
  ['postgres://admin:p%40ss:word@/log?host=%2Frun%2Fpostgresql', socket],
  ['postgres://admin:pw@db.example:5433/log?sslmode=disable', { host: 'db.example', port: 5433 }],
])('of %s the roles get server and port, and logins and databases of their own', (url, place) => {
  const login = withLogin({ connectionString: url }, 'app_writer_role', 'secret')
  expect(parametersOf(login.connectionString)).toEqual({
    ...{ ...place, user: 'app_writer_role', password: 'secret', database: 'log' },
  })
  const other = parametersOf(withDatabase({ connectionString: url }, 'postgres').connectionString)
  expect(other).toEqual({ ...parametersOf(url), database: 'postgres' })
})
