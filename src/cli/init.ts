import { resolve } from 'node:path'
import { readConfig } from '../config.ts'
import { openDatabase, openInstance, tokenFilePath } from '../instance.ts'
import { type Command, type ExitStatus, exitHolds, parseArguments, printJson, printLine } from './command.ts'
import { explainStart } from './describe-error.ts'

export const initCommand: Command = {
  summary: 'make a new log without serving it',
  synopsis: '[--json]',
  help: `Makes database schema, keys, tokens and the empty log, and stops again. Where the log exists nothing changes.
The settings are those of \`serve\`; DENDROLOG_ORIGIN names the new log.

  --json   origin, vkey, dataDir, tokens (the file) and isNew as JSON`,
  run: explainStart(init),
}

async function init(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, { json: { type: 'boolean' } }, 0)
  const config = readConfig()
  const database = await openDatabase(config, () => {}, signal)
  try {
    const { origin, keys, isNew } = await openInstance(config, database, Date.now())
    const { vkey } = keys
    const folder = { dataDir: resolve(config.dataDir), tokens: resolve(tokenFilePath(config)) }
    if (values.json) printJson({ origin, vkey, ...folder, isNew })
    else printLine(describeLog(origin, vkey, folder.dataDir, isNew))
  } finally {
    await database.close()
  }
  return exitHolds
}

function describeLog(origin: string, vkey: string, dataDir: string, isNew: boolean): string {
  const what = isNew ? `the log ${origin} was made` : `the log ${origin} exists already; nothing was changed`
  return `${what}

  vkey    ${vkey}
  folder  ${dataDir}  (its keys cannot be replaced: back them up)

next: dendrolog serve`
}
