import { setFlagsFromString } from 'node:v8'
import { type Command, type ExitStatus, type Parsed, parseArguments, UsageError } from './command.ts'
import { explainStart } from './explain-start.ts'
import { readSchedule } from './schedule.ts'
import { vkeyOptions } from './verifier-key.ts'
import { verifyAgainst } from './verify/against.ts'
import { forget, verifyAlways } from './verify/modes.ts'
import { verifyEvery, verifyRound, verifyWhole } from './verify/rounds.ts'
import { showStatus } from './verify/status.ts'

export const verifyCommand: Command = {
  summary: 'check the ledger against its hashes, its tree and all that was signed',
  synopsis:
    '[--full [--vkey VKEY | --vkey-file FILE] [--threads N] | --against DIR|URL | --every TIME [--full-every TIME] | --watch | --status | --forget] [--json]',
  help: `Hashes the rows of the ledger anew, each from its columns, and compares: with the stored hashes, the row before, the tree and
its tiles, every head and its seal, every checkpoint and its signatures, the table of known ids, the signer's memory, the tile
files, checkpoints that others saw (DENDROLOG_KNOWN_CHECKPOINTS), and the schema with what the migrations make. It changes
nothing. A server may run meanwhile, and runs a verifier of its own (DENDROLOG_VERIFIER).

  (nothing)         one round: what is new since the last one, rows of the newest million that a probe says were changed,
                    and as much of the rest as is due for all of it to be hashed within DENDROLOG_VERIFY_WITHIN_HOURS
  --every TIME      such a round every 30s, 10m or 6h, or when cron's five fields say ('*/10 * * * *', the host's time)
    --full-every TIME               and instead of it, when this is due, one as --full is
  --watch           without an end: new entries within two seconds, changes of the newest million within a minute
  --status          where the verifier of this log stands, and what it found, rounds and --full; asks no database. Status 2
                    where it has not looked for longer than it should, or could not check all
  --forget          forgets what was found, when it is settled: what is still there is told again, of the newest million
                    with the next probe
  --full            every row, once, by several connections
    --vkey VKEY, --vkey-file FILE   the log's verifier key, where the data folder is not at hand
    --threads N                     connections (default: one a core, at most 8)
  --against DIR|URL only the tiles, with those of a second copy: a folder of C2SP tiles with their checkpoint, a server's
                    own tiles folder, or another server; names the entries that differ, and the first checkpoint that does
    --vkey VKEY, --vkey-file FILE   as above
    --ca FILE                       PEM certificate of the CA of an https server, where the system does not know it
  --json            {"isSecure", "totalLogsScanned", "tamperedLogSequence", "violationType", "failureDetails", "findings":
                    [{violationType, detail, …}], …}, the first five of the first finding. Of --full also "findingsOmitted",
                    "treeSize", "rootHash", "checkpoints", "seconds", "isComplete", "notChecked"; of a round "verifiedSize",
                    "size", "checkedMs", "coveredMs", "ranges", "rangesDone", after a line for each new finding

What rounds remember (verifier-state in the data folder, under the log's seal key) is outside of the database. --full needs no
more than DENDROLOG_READER_URL, and says what it could not check without the folder. An embedded PostgreSQL that is not
running is started and stopped again.

Findings open incidents, of which hooks are told, as those of a server's verifier; a round also tells of incidents that
were closed, and what did not arrive before. Each round is told to DENDROLOG_HEARTBEAT_URL: its beginning, and how it
ended.

Exit status: 0 nothing was found, 1 a violation was, now or before, 2 it could not be checked (no database, no log).`,
  run: explainStart(runVerify),
}

const threadsMax = 64
/** MiB. Of threads that come later: of ten million entries 180 MB instead of 235, at the same rate. */
const threadYoungHeap = '--max-semi-space-size=4'

const options = {
  ...vkeyOptions,
  full: { type: 'boolean' },
  threads: { type: 'string' },
  against: { type: 'string' },
  ca: { type: 'string' },
  every: { type: 'string' },
  'full-every': { type: 'string' },
  watch: { type: 'boolean' },
  status: { type: 'boolean' },
  forget: { type: 'boolean' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']

async function runVerify(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, options, 0)
  const modes = (['full', 'against', 'every', 'watch', 'status', 'forget'] as const).filter(
    (mode) => values[mode] !== undefined,
  )
  if (modes.length > 1) throw new UsageError(`want one of ${modes.map((mode) => `--${mode}`).join(' and ')}`)
  checkOptions(values)
  setFlagsFromString(threadYoungHeap)
  if (values.full === true) {
    const threads = values.threads === undefined ? undefined : readThreads(values.threads)
    return verifyWhole({ vkey: values, threads }, values.json, signal)
  }
  if (values.against !== undefined) {
    const { against: where, ca, json: isJson } = values
    return verifyAgainst({ where, ca, vkey: values, isJson }, signal)
  }
  if (values.status === true) return showStatus(values.json)
  if (values.forget === true) return forget(values.json)
  if (values.watch === true) return verifyAlways(values.json, signal)
  if (values.every !== undefined) {
    const schedule = await readSchedule('--every', values.every)
    const { 'full-every': fullEvery } = values
    const fullSchedule = fullEvery === undefined ? undefined : await readSchedule('--full-every', fullEvery)
    return verifyEvery(schedule, fullSchedule, values.json, signal)
  }
  return verifyRound(values.json, signal)
}

function checkOptions(values: Values): void {
  const { full, against } = values
  if (values.threads !== undefined && full !== true) throw new UsageError('--threads is for --full')
  if (values['full-every'] !== undefined && values.every === undefined) {
    throw new UsageError('--full-every is for --every')
  }
  if (values.ca !== undefined && against === undefined) throw new UsageError('--ca is for --against')
  const ofKey = (['vkey', 'vkey-file'] as const).filter((name) => values[name] !== undefined)
  if (ofKey.length > 1) throw new UsageError('want at most one of --vkey and --vkey-file')
  if (ofKey.length > 0 && full !== true && against === undefined) {
    throw new UsageError(`--${ofKey[0]} is for --full and --against`)
  }
}

function readThreads(text: string): number {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1 || n > threadsMax || String(n) !== text) {
    throw new UsageError(`--threads: want a number of 1 to ${threadsMax}`)
  }
  return n
}
