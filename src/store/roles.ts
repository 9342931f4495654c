/** The log's roles as logins: their passwords, kept in a file of mode 0600, and their connections. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { type ClientConfig, escapeIdentifier, escapeLiteral } from 'pg'
import { checkName, withConnection, withLogin, withServerLock } from './administrator.ts'
import { readSecretFile, writeSecretFile } from './secret-file.ts'

/** Roles that log in, one a connection pool. Their names on the server have the log's prefix before them. */
export const loginRoles = [
  'app_writer_role',
  'auditor_reader_role',
  'checkpoint_signer_role',
  'verifier_role',
  'database_admin_role',
  'app_state_role',
] as const

export type LoginRole = (typeof loginRoles)[number]
export type RolePasswords = Readonly<Record<LoginRole, string>>

/** A new password for each role, 192 random bits. */
export function createRolePasswords(): RolePasswords {
  return passwordsOf((_role) => randomBytes(24).toString('base64url'))
}

/**
 * Passwords in `file`, a JSON object from role to password. Roles that it lacks get one, and the file is written
 * durably before this returns. Throws if it is not such an object, or if others than its owner may read it.
 */
export async function loadOrCreateRoles(file: string): Promise<RolePasswords> {
  const text = await readSecretFile(file)
  const kept = text === undefined ? {} : parsePasswords(file, text)
  const created = createRolePasswords()
  const passwords = passwordsOf((role) => kept[role] ?? created[role])
  if (loginRoles.some((role) => kept[role] === undefined)) {
    await writeSecretFile(file, `${JSON.stringify(passwords, undefined, 2)}\n`)
  }
  return passwords
}

/**
 * Lets these roles, which must exist, log in with these passwords, all of them or none. Only SCRAM verifiers are sent
 * (RFC 5802), so that no password is in a statement log. `config` must be an administrator's.
 */
export async function setRolePasswords(
  config: ClientConfig,
  prefix: string,
  passwords: RolePasswords,
  log: (message: string) => void,
  roles: readonly LoginRole[] = loginRoles,
): Promise<void> {
  checkName('prefix', prefix)
  const statements = roles.map((role) => {
    const verifier = escapeLiteral(scramVerifier(passwords[role], randomBytes(16)))
    return `alter role ${escapeIdentifier(prefix + role)} login password ${verifier};`
  })
  await withServerLock(config, log, () =>
    // Statements of one message are one transaction.
    withConnection(config, log, (client) => client.query(statements.join('\n'))),
  )
}

/** Whether all of these roles log in with these passwords. `config` names server and database. Throws if they cannot be asked. */
export async function acceptsRolePasswords(
  config: ClientConfig,
  prefix: string,
  passwords: RolePasswords,
  roles: readonly LoginRole[] = loginRoles,
): Promise<boolean> {
  const answers = await Promise.all(roles.map((role) => canLogIn(roleConfig(config, prefix, role, passwords))))
  return answers.every((answer) => answer)
}

/** Databases of the server in which somebody is logged in as one of the roles: other logs that go by the same names. */
export async function readDatabasesOfRoles(config: ClientConfig, prefix: string): Promise<readonly string[]> {
  const result = await withConnection(
    config,
    () => {},
    (client) =>
      client.query<{ datname: string }>(
        `select distinct datname
         from pg_catalog.pg_stat_activity
         where usename = any ($1)
         order by datname`,
        [loginRoles.map((role) => prefix + role)],
      ),
  )
  return result.rows.map((row) => row.datname)
}

/** A role's connection to the server and database of `config`. */
export function roleConfig(
  config: ClientConfig,
  prefix: string,
  role: LoginRole,
  passwords: RolePasswords,
): ClientConfig {
  return withLogin(config, prefix + role, passwords[role])
}

/** Class 28 (invalid authorization): wrong password, no password, no login; also what pg_hba.conf does not let in. */
async function canLogIn(config: ClientConfig): Promise<boolean> {
  try {
    await withConnection(
      config,
      () => {},
      async () => {},
    )
    return true
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('28')) return false
    throw error
  }
}

const scramIterations = 4096

/**
 * What PostgreSQL stores for a password (its documentation, 52.8 pg_authid): keys of RFC 5802 section 3 with SHA-256.
 * The password must be ASCII, which SASLprep leaves as it is.
 */
export function scramVerifier(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, scramIterations, 32, 'sha256')
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  const storedKey = createHash('sha256').update(clientKey).digest('base64')
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64')
  return `SCRAM-SHA-256$${scramIterations}:${Buffer.from(salt).toString('base64')}$${storedKey}:${serverKey}`
}

function parsePasswords(file: string, text: string): Readonly<Record<string, string>> {
  const value = parseJson(text)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject || !Object.values(value).every((password) => typeof password === 'string' && password !== '')) {
    throw new Error(`${file}: want a JSON object of passwords`)
  }
  return value as Record<string, string>
}

/** The reason why it is none would quote the file. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function passwordsOf(choose: (role: LoginRole) => string): RolePasswords {
  return Object.fromEntries(loginRoles.map((role) => [role, choose(role)])) as RolePasswords
}
