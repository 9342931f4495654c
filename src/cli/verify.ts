import {
  type Command,
  type ExitStatus,
  exitHolds,
  exitViolation,
  parseArguments,
  printJson,
  UsageError,
} from './command.ts'
import { explainStart } from './describe-error.ts'
import { vkeyOptions } from './verifier-key.ts'
import { describeReport } from './verify/describe.ts'
import { verifyFully } from './verify/full.ts'
import { showProgress } from './verify/progress.ts'

export const verifyCommand: Command = {
  summary: 'check the whole ledger against its hashes, its tree and all that was signed',
  synopsis: '--full [--vkey VKEY | --vkey-file FILE] [--threads N] [--json]',
  help: `Reads every row of the ledger once, as auditor_reader_role, and computes anew what it must be: the chain hash, the leaf, the
tree. Compares that with the stored hashes, the tiles, every head with its seal, every checkpoint with its signatures, the
table of known ids, and the signer's memory. Tells all that it finds; changes nothing. A server may run meanwhile: what is
checked is what was committed when the run began.

The database is that of the settings (DATABASE_URL and the data folder, or DENDROLOG_READER_URL alone); an embedded
PostgreSQL that is not running is started and stopped again. With the data folder, seals, signatures and memory are checked
too; without it, signatures if --vkey is given. What could not be checked is said.

  --vkey VKEY, --vkey-file FILE   the log's verifier key, where the data folder is not at hand
  --threads N                     connections that read at the same time (default: one a core, at most 8)
  --json                          {"isSecure", "totalLogsScanned", "tamperedLogSequence", "violationType", "failureDetails",
                                  "findings": [{violationType, detail, …}], "findingsOmitted", "treeSize", "rootHash",
                                  "checkpoints", "notChecked", "seconds"}; the first five are of the first finding

Exit status: 0 nothing was found, 1 a violation was, 2 it could not be checked (no database, no log).`,
  run: explainStart(runVerify),
}

const threadsMax = 64

async function runVerify(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const options = {
    ...vkeyOptions,
    full: { type: 'boolean' },
    threads: { type: 'string' },
    json: { type: 'boolean' },
  } as const
  const { values } = parseArguments(args, options, 0)
  if (values.full !== true) throw new UsageError('want --full')
  if (values.vkey !== undefined && values['vkey-file'] !== undefined) {
    throw new UsageError('want at most one of --vkey and --vkey-file')
  }
  const threads = values.threads === undefined ? undefined : readThreads(values.threads)
  const progress = showProgress(values.json === true)
  try {
    const report = await verifyFully({ vkey: values, threads, onProgress: progress.show }, signal)
    progress.end()
    if (values.json === true) printJson(report)
    else process.stdout.write(describeReport(report))
    return report.isSecure ? exitHolds : exitViolation
  } finally {
    progress.end()
  }
}

function readThreads(text: string): number {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1 || n > threadsMax || String(n) !== text) {
    throw new UsageError(`--threads: want a number of 1 to ${threadsMax}`)
  }
  return n
}
