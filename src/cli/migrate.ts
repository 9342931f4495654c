import type { ClientConfig } from 'pg'
import { type Config, ConfigError, readConfig } from '../config.ts'
import { migrateDatabase } from '../instance.ts'
import { openCluster } from '../store/embedded.ts'
import type { Migration } from '../store/migrate.ts'
import { type Command, type ExitStatus, exitHolds, parseArguments, printJson, printLine } from './command.ts'
import { explainStart } from './explain-start.ts'

export const migrateCommand: Command = {
  summary: 'bring the database to the newest schema',
  synopsis: '[--json]',
  help: `Applies the migrations that are missing, to the database of DATABASE_URL (an administrator's) or to the
PostgreSQL in the data folder, and stops again. Makes no log and sets no passwords: it may be a job of its own, whose
server gets nothing but the logins of the roles.

  --json   {"applied": [{version, name}]}; on standard error what the database warns of meanwhile`,
  // The PostgreSQL that it started is stopped.
  stopMs: 10_000,
  run: explainStart(runMigrate),
}

async function runMigrate(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, { json: { type: 'boolean' } }, 0)
  const applied = (await migrateAny(readConfig(), signal)).map(({ version, name }) => ({ version, name }))
  if (values.json) printJson({ applied })
  else for (const { version, name } of applied) printLine(`applied ${String(version).padStart(4, '0')}_${name}.sql`)
  if (!values.json && applied.length === 0) printLine('nothing to apply: the schema is the newest')
  return exitHolds
}

async function migrateAny(config: Config, signal: AbortSignal): Promise<readonly Migration[]> {
  const { databaseUrl, roleUrls } = config
  if (databaseUrl !== undefined) return migrateOne(config, { connectionString: databaseUrl })
  if (roleUrls !== undefined) {
    throw new ConfigError(
      'DATABASE_URL',
      "is not set, and the logins of the roles may not migrate; set an administrator's",
    )
  }
  const cluster = await openCluster({ dataDir: config.dataDir, binDir: config.pgBin }, signal)
  try {
    return await migrateOne(config, cluster.config)
  } finally {
    await cluster.stop()
  }
}

function migrateOne(config: Config, admin: ClientConfig): Promise<readonly Migration[]> {
  return migrateDatabase(config, admin, (message) => {
    // Notices say that what is there already was passed over.
    if (!message.includes(': NOTICE: ')) process.stderr.write(`${message}\n`)
  })
}
