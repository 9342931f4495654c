import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { LogEvent } from '../client/index.ts'
import { readConfig } from '../config.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  exitViolation,
  parseArguments,
  printJson,
  printLine,
  UsageError,
} from './command.ts'
import { describeOutcome, outcomeJson } from './drill/describe.ts'
import { drill, notDrilled, stageNames } from './drill/drill.ts'
import { explainStart } from './explain-start.ts'

export const drillCommand: Command = {
  summary: 'attack a copy that is made for it, and see who notices',
  synopsis: '[--only NAME]… [--probe SECONDS] [--without-verifier] [--keep] [--json]',
  help: `Makes a new log of sample events in a PostgreSQL of its own, below the system's folder for temporary files, and attacks copies
of it: as client, with the logins of the roles, as owner, as superuser, with stolen logins and keys, as operator who restores
what is old. The servers, verifiers and alarms are the real ones. Your own log, its settings and its database are not touched.

  --only NAME         of the groups ${stageNames.join(', ')}: these (repeat it for more)
  --probe SECONDS     the verifier's probe (default 30, as DENDROLOG_VERIFY_PROBE_SECONDS has it): shorter is sooner done
  --without-verifier  servers run without one: whoever trusts the drill sees it fail
  --keep              leaves the tampered copies, and says where
  --json              {"attacks": [{"name", "as", "did", "catcher", "finding", "caught", "afterSeconds", "detail"}], "notDrilled", "folder"}

Takes some two minutes and 2 GB of memory. Exit status: 0 every attack was noticed, 1 one was not, 2 it could not be drilled.`,
  stopMs: 30_000,
  run: explainStart(runDrill),
}

const options = {
  only: { type: 'string', multiple: true },
  probe: { type: 'string', default: '30' },
  'without-verifier': { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const

const sampleEvents = join(import.meta.dirname, '..', '..', '..', 'deploy', 'sample-events', 'cloudtrail.ndjson.gz')

async function runDrill(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values } = parseArguments(args, options, 0)
  const { only = [], keep, json } = values
  const unknown = only.find((name) => !stageNames.includes(name))
  if (unknown !== undefined) throw new UsageError(`--only: there is no ${JSON.stringify(unknown)}`)
  const probeSeconds = readSeconds(values.probe)
  const events = await readSampleEvents()
  if (!json) printLine(`a new log of ${events.length} events is made and attacked; this takes a minute or two`)
  const onOutcome = json
    ? () => {}
    : (outcome: Parameters<typeof describeOutcome>[0]) => printLine(describeOutcome(outcome))
  const verifies = !values['without-verifier']
  const binDir = readConfig().pgBin
  const { outcomes, folder } = await drill({ events, binDir, verifies, probeSeconds, only, keep, onOutcome }, signal)
  const missed = outcomes.filter(({ caught }) => caught === undefined)
  const where = keep ? folder : null
  if (json) printJson({ attacks: outcomes.map(outcomeJson), notDrilled, folder: where })
  else {
    printLine(`\n${outcomes.length - missed.length} of ${outcomes.length} attacks were noticed`)
    for (const what of notDrilled) printLine(`not drilled: ${what}`)
    if (where !== null) printLine(`the copies are in ${where}: logs/NAME has files and logs, cluster the databases`)
  }
  return missed.length === 0 ? exitHolds : exitViolation
}

async function readSampleEvents(): Promise<readonly LogEvent[]> {
  const text = gunzipSync(await readFile(sampleEvents)).toString('utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LogEvent)
}

const probeSecondsMax = 3_600

function readSeconds(text: string): number {
  const n = Number(text)
  if (Number.isInteger(n) && n >= 1 && n <= probeSecondsMax && String(n) === text) return n
  throw new UsageError(`--probe: want seconds, 1 to ${probeSecondsMax}`)
}
