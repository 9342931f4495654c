import { resolve } from 'node:path'
import { readConfig } from '../config.ts'
import { tokenFilePath } from '../instance.ts'
import { LogIncident } from '../log/incident.ts'
import type { RolledForward } from '../log/roll-forward.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  exitViolation,
  type Parsed,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { explainStart } from './explain-start.ts'
import { beginLog } from './recover/begin-log.ts'
import { endLog } from './recover/end-log.ts'
import { rollLog } from './recover/roll.ts'
import { showProgress } from './verify/progress.ts'

export const recoverCommand: Command = {
  summary: 'bring a restored database back to what was signed, or end its log',
  synopsis: `[--from URL|FOLDER] [--dry-run] [--json]
       dendrolog recover --end-log ORIGIN --new-origin NAME --reason TEXT [--checkpoint FILE] [--json]
       dendrolog recover --begin FILE [--json]`,
  help: `For a log that says ROLLBACK: its database is older than what its signer remembers. The server is stopped meanwhile. Settings
are those of \`serve\`.

  --from URL|FOLDER    the newer copy that has the missing entries: postgres://… of a standby or a restored database (any login
                       that reads the log's tables), or a data folder with an embedded PostgreSQL, which is started for it.
                       Entries are hashed anew from their columns, and taken over only if the tree then is the one that was
                       signed last; else nothing is written. Without it: what can be done with the database alone
  --dry-run            tries all of that, and writes nothing

A database that holds other entries than were signed (FORKED) cannot be rolled forward. Where no copy has the missing ones, the
log ends, and a new one begins:

  --end-log ORIGIN     ends the log of the data folder for good, whose name is to be typed: no server signs for it any more,
                       its keys are put aside (keys/ended). Database and folder stay as they are, to be read and verified
    --new-origin NAME  the log that comes after it
    --reason TEXT      why; it will be in the new log's first entry
    --checkpoint FILE  a checkpoint that somebody saw, where it is newer than what the signer remembers, or that is gone
  --begin FILE         makes the new log from the ended.json that --end-log wrote, by settings of its own: a new
                       DENDROLOG_DATA_DIR, and another database or DENDROLOG_SCHEMA (on the same PostgreSQL with a
                       DENDROLOG_ROLE_PREFIX). Its first entry, dendrolog.log.succeeded, names the old log, its last
                       checkpoint and the reason
  --json               {"origin", "fromSize", "toSize", "signedSize", "checkpoints", "lostCheckpoints", "leftOut",
                       "isTrial"}; of --end-log {"origin", "newOrigin", "file"}; of --begin {"origin", "vkey", "dataDir",
                       "tokens"}; {"violationType", "detail"} where the status is 1

Tokens, incidents and what else is no entry are as the restored database has them: revoke again what was revoked meanwhile.

Exit status: 0 done, or nothing to do; 1 the database is not an older state of the log (FORKED, FORGED_HEAD, UNSEALED_ROWS,
ROOT_MISMATCH); 2 it could not be done, and nothing was changed.`,
  // The PostgreSQL that it started is stopped.
  stopMs: 10_000,
  run: explainStart(recover),
}

const options = {
  from: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  'end-log': { type: 'string' },
  'new-origin': { type: 'string' },
  reason: { type: 'string' },
  checkpoint: { type: 'string' },
  begin: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']

async function recover(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, options, 0)
  const { 'end-log': ended, begin } = values
  const isRoll = ended === undefined && begin === undefined
  if (ended !== undefined && begin !== undefined) throw new UsageError('want one of --end-log and --begin')
  if (!isRoll && (values.from !== undefined || values['dry-run'])) {
    throw new UsageError('--from and --dry-run are for rolling forward')
  }
  const ofEnd = (['new-origin', 'reason', 'checkpoint'] as const).find((name) => values[name] !== undefined)
  if (ofEnd !== undefined && ended === undefined) throw new UsageError(`--${ofEnd} is for --end-log`)
  if (ended !== undefined) return end(ended, values)
  if (begin !== undefined) return beginNew(begin, values.json, signal)
  return roll(values, signal)
}

async function roll({ from, 'dry-run': isTrial, json }: Values, signal: AbortSignal): Promise<ExitStatus> {
  const progress = showProgress(json)
  try {
    const rolled = await rollLog(readConfig(), { from, isTrial, onProgress: progress.show }, signal)
    progress.end()
    if (json) printJson({ ...rolled, leftOut: rolled.leftOut ?? null, isTrial })
    else printLine(describeRoll(rolled, isTrial))
    return exitHolds
  } catch (error) {
    progress.end()
    if (!(error instanceof LogIncident) || error.code === 'LOCKED') throw error
    if (json) printJson({ violationType: error.code, detail: error.message })
    else printLine(visibleText(`VIOLATION  ${error.code}  ${error.message}\nnothing was changed`))
    return exitViolation
  } finally {
    progress.end()
  }
}

function describeRoll(rolled: RolledForward, isTrial: boolean): string {
  const { fromSize, toSize, signedSize, checkpoints, lostCheckpoints, leftOut } = rolled
  if (toSize === fromSize && checkpoints === 0 && lostCheckpoints === 0) {
    return `the database has the ${signedSize} entries that were signed; there is nothing to recover`
  }
  const [was, were] = isTrial ? ['would be', 'would be'] : ['was', 'were']
  const lines = [
    `entries ${fromSize + 1} to ${toSize} and ${checkpoints} checkpoints ${were} recovered; ${signedSize} entries were signed`,
    ...(lostCheckpoints > 0 ? [`${lostCheckpoints} checkpoints are lost: their numbers ${were} given again`] : []),
    ...(leftOut === undefined ? [] : [`what is behind ${was} left out: ${leftOut}`]),
    isTrial ? 'nothing was changed' : 'the server may be started: it signs again',
  ]
  return lines.map(visibleText).join('\n')
}

async function end(origin: string, values: Values): Promise<ExitStatus> {
  const { 'new-origin': newOrigin, reason, checkpoint, json } = values
  if (newOrigin === undefined || reason === undefined) throw new UsageError('--end-log: want --new-origin and --reason')
  const { ending, file } = await endLog(readConfig(), { origin, newOrigin, reason, checkpoint })
  if (json) printJson({ origin, newOrigin: ending.newOrigin, file })
  else
    printLine(
      visibleText(
        `${origin} has ended: nothing signs for it any more. Its last checkpoint and the reason are in ${file}`,
      ) +
        `\nnext, with settings for ${ending.newOrigin} (a new data folder and database): dendrolog recover --begin ${file}`,
    )
  return exitHolds
}

async function beginNew(file: string, json: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const config = readConfig()
  const { instance, ending } = await beginLog(config, file, signal)
  const { origin, keys } = instance
  const [dataDir, tokens] = [resolve(config.dataDir), resolve(tokenFilePath(config))]
  if (json) printJson({ origin, vkey: keys.vkey, dataDir, tokens })
  else
    printLine(`${origin} begins: its first entry names ${ending.origin}, its last checkpoint and the reason

  vkey    ${keys.vkey}
  folder  ${dataDir}  (its keys cannot be replaced: back them up)

next: dendrolog serve`)
  return exitHolds
}
