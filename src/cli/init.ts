import { resolve } from 'node:path'
import { type Config, readConfig } from '../config.ts'
import { openDatabase, openInstance, tokenFilePath } from '../instance.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
  UsageError,
} from './command.ts'
import { explainStart } from './explain-start.ts'
import { handOver } from './init/hand-over.ts'
import { joinLog } from './init/join.ts'
import { moveCell } from './init/move-cell.ts'

export const initCommand: Command = {
  summary: 'make a new log without serving it, or the folder of a further server',
  synopsis: '[--hand-over FOLDER | --join FOLDER | --move-cell FILE] [--json]',
  help: `Makes database schema, keys, tokens and the empty log, and stops again. Where the log exists nothing changes.
The settings are those of \`serve\`; DENDROLOG_ORIGIN names the new log.

  --move-cell FILE     moves what the signer remembers from FILE (signer-state.json in the data folder, unless set
                       otherwise) to the place of DENDROLOG_SIGNER_STATE that several servers share; the server is
                       stopped meanwhile. FILE stays as FILE.moved
  --hand-over FOLDER   copies to a new FOLDER what a further server needs: private keys, seal key, the roles' passwords,
                       tokens, a checkpoint. Whoever reads it can sign as the log
  --join FOLDER        makes the data folder of a further server from it, where keys, database, signer state and
                       checkpoint are of one log
  --json               origin, vkey, dataDir, tokens (the file) and isNew as JSON; of --move-cell origin, to and kept, of
                       --hand-over origin and folder`,
  // The PostgreSQL that it started is stopped.
  stopMs: 10_000,
  run: explainStart(init),
}

const options = {
  'move-cell': { type: 'string' },
  'hand-over': { type: 'string' },
  join: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

async function init(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, options, 0)
  const { 'move-cell': file, 'hand-over': to, join: from, json } = values
  if ([file, to, from].filter((value) => value !== undefined).length > 1) {
    throw new UsageError('want one of --move-cell, --hand-over and --join')
  }
  const config = readConfig()
  if (file !== undefined) return move(config, file, json)
  if (to !== undefined) return give(config, to, json)
  if (from !== undefined) return join(config, from, json)
  return create(config, json, signal)
}

async function create(config: Config, asJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const database = await openDatabase(config, () => {}, signal)
  try {
    const { origin, keys, isNew, cell } = await openInstance(config, database, Date.now())
    await cell.close()
    const what = isNew ? `the log ${origin} was made` : `the log ${origin} exists already; nothing was changed`
    printLog(config, { origin, vkey: keys.vkey, isNew }, what, asJson)
  } finally {
    await database.close()
  }
  return exitHolds
}

async function join(config: Config, from: string, asJson: boolean): Promise<ExitStatus> {
  const { origin, keys } = await joinLog(config, from)
  const what = `this is a further server of the log ${origin} now; what was handed over can be removed: ${resolve(from)}`
  printLog(config, { origin, vkey: keys.vkey, isNew: false }, what, asJson)
  return exitHolds
}

async function move(config: Config, file: string, asJson: boolean): Promise<ExitStatus> {
  const moved = await moveCell(config, file)
  if (asJson) printJson(moved)
  else printLine(`the signer of ${moved.origin} remembers in ${moved.to} now; the file is kept as ${moved.kept}`)
  return exitHolds
}

async function give(config: Config, to: string, asJson: boolean): Promise<ExitStatus> {
  const origin = await handOver(config, to)
  const folder = resolve(to)
  if (asJson) printJson({ origin, folder })
  else
    printLine(`the keys of ${origin} are in ${folder}: whoever reads them can sign as the log. Remove them when done`)
  return exitHolds
}

type MadeLog = { readonly origin: string; readonly vkey: string; readonly isNew: boolean }

function printLog(config: Config, { origin, vkey, isNew }: MadeLog, what: string, asJson: boolean): void {
  const folder = { dataDir: resolve(config.dataDir), tokens: resolve(tokenFilePath(config)) }
  if (asJson) printJson({ origin, vkey, ...folder, isNew })
  else printLine(describeLog(what, vkey, folder.dataDir))
}

function describeLog(what: string, vkey: string, dataDir: string): string {
  return `${what}

  vkey    ${vkey}
  folder  ${dataDir}  (its keys cannot be replaced: back them up)

next: dendrolog serve`
}
