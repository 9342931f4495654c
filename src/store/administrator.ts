/** Connections of an administrator: for migrating and for the roles' passwords, not for serving. */
import { Client, type ClientConfig } from 'pg'

/** Throws unless the name can stand in SQL without quotes; a prefix may be empty. */
export function checkName(what: 'schema' | 'prefix', name: string): void {
  if (what === 'prefix' && name === '') return
  if (!/^[a-z_][a-z0-9_]{0,30}$/.test(name)) {
    throw new Error(`${what}: got ${JSON.stringify(name)}, want a-z, 0-9 and _, at most 31, not starting with a digit`)
  }
}

/** The same server, another database. */
export function withDatabase(config: ClientConfig, database: string): ClientConfig {
  if (config.connectionString === undefined) return { ...config, database }
  const url = parseUrl(config.connectionString)
  url.pathname = `/${encodeURIComponent(database)}`
  return { ...config, connectionString: url.href }
}

/** The same server and database, another user. */
export function withLogin(config: ClientConfig, user: string, password: string): ClientConfig {
  if (config.connectionString === undefined) return { ...config, user, password }
  const url = parseUrl(config.connectionString)
  url.username = ''
  url.password = ''
  // As parameters they also work where the URL has no host, and go before the user part.
  url.searchParams.set('user', user)
  url.searchParams.set('password', password)
  return { ...config, connectionString: url.href }
}

/** `user:password@` without a host, which libpq and the driver take for a socket, is no URL by WHATWG: it moves to the parameters. */
function parseUrl(text: string): URL {
  const match = /^([a-z]+:\/\/)([^@/]*)@(\/.*)$/.exec(text)
  const [, scheme = '', login = '', rest = ''] = match ?? []
  if (match === null) return new URL(text)
  const url = new URL(scheme + rest)
  const [user = '', ...password] = login.split(':')
  if (!url.searchParams.has('user')) url.searchParams.set('user', decodeURIComponent(user))
  if (password.length > 0) url.searchParams.set('password', decodeURIComponent(password.join(':')))
  return url
}

const connectMs = 10_000
// Also for the locks that a migration takes on tables: it fails whole and can be run again.
const lockWaitMs = 10 * 60_000

/** Connects, gives the connection to `work` and ends it. Notices go to `log`. */
export async function withConnection<T>(
  config: ClientConfig,
  log: (message: string) => void,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect(config)
  client.on('notice', (notice) => log(`${notice.severity ?? 'NOTICE'}: ${notice.message ?? ''}`))
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

// 'dendrolo' in ASCII: one lock for every log on a server, as roles are the server's.
const lockKey = '7234309754136259695'

/**
 * Does `work` while no other administrator changes roles on this server. Advisory locks are a database's and roles the
 * server's: six databases that alter one role at once fail five times. So the lock is taken in `postgres`, or, where
 * that cannot be reached, in the current database, which excludes the others on that one only.
 */
export async function withServerLock<T>(
  config: ClientConfig,
  log: (message: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const client = await connect(withDatabase(config, 'postgres')).catch((error: Error) => {
    log(`database postgres: ${error.message}; locking in the log's own database instead`)
    return connect(config)
  })
  try {
    await client.query('select pg_catalog.pg_advisory_lock($1)', [lockKey])
    return await work()
  } finally {
    await client.end()
  }
}

async function connect(config: ClientConfig): Promise<Client> {
  const client = new Client({
    connectionTimeoutMillis: connectMs,
    lock_timeout: lockWaitMs,
    keepAlive: true,
    ...config,
  })
  // A lost connection shows in the next query.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    // What was refused by the driver itself, a login without a password, would stay connected for a minute.
    void client.end().catch(() => {})
    throw error
  }
}
