/** Several real servers on one external PostgreSQL, with the shared cell in a second database of the same cluster. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientConfig } from 'pg'
import { inject } from 'vitest'
import { withConnection, withDatabase } from '../../src/store/administrator.ts'
import type {} from './cluster.ts'
import { makeDatabase, type TestDatabase } from './database.ts'
import { type Environment, endAll, type ServerProcess, startServer } from './server-process.ts'

export const main: string = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js')

/** Servers that share a log. */
export type Servers = {
  readonly database: TestDatabase
  /** Settings of each of them, but for the data folder. */
  readonly environment: Environment
  /** The shared cell, as its superuser. */
  readonly cell: ClientConfig
  /** Of server n; the folder of each but the first was joined. */
  readonly dataDir: (n: number) => string
  /** Starts server n on its folder. */
  readonly start: (n: number, environment?: Environment) => Promise<ServerProcess>
  /** Runs `dendrolog` with the settings of server n. */
  readonly run: (n: number, ...args: readonly string[]) => Promise<Ran>
  readonly close: () => Promise<void>
}

export type Ran = { readonly status: number; readonly output: string }

const silent = (): void => {}

/** Makes a log with its cell at `cellUrl` (a database of its own where nothing is said), and folders for `count` servers. */
export async function makeServers(count: number, cell: Environment = {}): Promise<Servers> {
  const parent = await mkdtemp(join(tmpdir(), 'dendrolog-servers-'))
  const database = await makeDatabase()
  const cellConfig = await createCellDatabase()
  const environment = { ...environmentOf(database), DENDROLOG_SIGNER_STATE: urlOf(cellConfig), ...cell }
  const dataDir = (n: number): string => join(parent, `data-${n}`)
  const run = (n: number, ...args: readonly string[]): Promise<Ran> => runProgram(args, dataDir(n), environment)
  const servers: Servers = {
    ...{ database, environment, cell: cellConfig, dataDir, run },
    start: (n, more = {}) => startServer(dataDir(n), { ...environment, ...more }),
    close: async () => {
      await endAll(dataDir(0))
      await database.drop()
      await dropDatabase(cellConfig)
      await rm(parent, { recursive: true, force: true, maxRetries: 10 })
    },
  }
  await expectDone(run(0, 'init'))
  const handedOver = join(parent, 'handed-over')
  if (count > 1) await expectDone(run(0, 'init', '--hand-over', handedOver))
  for (let n = 1; n < count; n++) await expectDone(run(n, 'init', '--join', handedOver))
  return servers
}

/** Runs the program to its end. */
export function runProgram(args: readonly string[], dataDir: string, environment: Environment): Promise<Ran> {
  const env = { PATH: process.env.PATH ?? '', DENDROLOG_DATA_DIR: dataDir, PORT: '0', ...environment }
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env, cwd: '/', timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code ?? -1), output: stdout + stderr }),
    )
  })
}

export async function expectDone(running: Promise<Ran>): Promise<string> {
  const { status, output } = await running
  if (status !== 0) throw new Error(`ended with status ${status}: ${output}`)
  return output
}

/** The logins of a database's roles, as settings. */
export function environmentOf(database: TestDatabase): Environment {
  return {
    DENDROLOG_WRITER_URL: urlOf(database.as('app_writer_role')),
    DENDROLOG_READER_URL: urlOf(database.as('auditor_reader_role')),
    DENDROLOG_SIGNER_URL: urlOf(database.as('checkpoint_signer_role')),
    DENDROLOG_STATE_URL: urlOf(database.as('app_state_role')),
    DENDROLOG_ALLOW_UNSAFE_DATABASE: 'true',
    DENDROLOG_LOG_LEVEL: 'error',
  }
}

export function urlOf(config: ClientConfig): string {
  if (config.connectionString !== undefined) return config.connectionString
  const url = new URL(`postgres:///${config.database ?? ''}`)
  for (const [name, value] of Object.entries({ host: config.host, port: config.port, user: config.user })) {
    if (value !== undefined) url.searchParams.set(name, String(value))
  }
  if (typeof config.password === 'string') url.searchParams.set('password', config.password)
  return url.href
}

export async function createCellDatabase(): Promise<ClientConfig> {
  const { admin } = inject('cluster')
  const name = `dendrolog_cell_${randomBytes(6).toString('hex')}`
  await withConnection(admin, silent, (client) => client.query(`create database ${name}`))
  return withDatabase(admin, name)
}

export async function dropDatabase(config: ClientConfig): Promise<void> {
  const name = config.database ?? new URL(config.connectionString ?? '').pathname.slice(1)
  await withConnection(inject('cluster').admin, silent, (client) =>
    client.query(`drop database if exists ${name} with (force)`),
  )
}

export async function querySql(config: ClientConfig, text: string, values: unknown[] = []): Promise<unknown[]> {
  const client = new Client(config)
  client.on('error', silent)
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Which of the servers leads; undefined where none does. */
export async function leaderOf(servers: readonly ServerProcess[]): Promise<ServerProcess | undefined> {
  const answers = await Promise.all(servers.map(isReadyForWrites))
  return servers[answers.indexOf(true)]
}

export async function isReadyForWrites({ url }: Pick<ServerProcess, 'url'>): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined)
  await answer?.arrayBuffer()
  return answer?.status === 200
}

/** Milliseconds until the server leads; throws after `maxMs`. */
export async function untilLeads(server: Pick<ServerProcess, 'url'>, maxMs = 30_000): Promise<number> {
  for (const startedAt = performance.now(); ; await sleep(10)) {
    if (await isReadyForWrites(server)) return performance.now() - startedAt
    if (performance.now() - startedAt > maxMs) throw new Error(`${server.url} does not lead after ${maxMs} ms`)
  }
}
