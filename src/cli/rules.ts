import { readGivenFile } from '../ops/given-file.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { describeMatch } from '../rules/describe-match.ts'
import { openRules, type RuleMatch, type Rules } from '../rules/open-rules.ts'
import { rulesBytesMax } from '../rules/rules-file.ts'
import {
  type Command,
  type ExitStatus,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { describeError } from './describe-error.ts'
import { tryRules } from './rules/try-rules.ts'

export const rulesCommand: Command = {
  summary: 'check a file of watch rules, and try it on events',
  synopsis: 'check FILE [--events FILE|-] [--json]',
  help: `Checks a file of watch rules (DENDROLOG_WATCH_RULES), and says what it would tell of some events. Asks nobody.

  --events FILE   submissions or entries, one JSON object a line, gzip too; -: standard input. An event without
                  \`timestamp\` has its \`occurredAt\` as time
  --json          {"rules", "events", "matches": [{"rule", "severity", "because", "group", "entry"}]}; a file that
                  cannot be used: {"error"}

Exit status: 0 the rules can be used, whatever they match, 2 they or the events cannot.`,
  run: runRules,
}

async function runRules(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const options = { events: { type: 'string' }, json: { type: 'boolean', default: false } } as const
  const { values, positionals } = parseArguments(args, options, 2)
  const [verb, file] = positionals
  if (verb !== 'check') throw new UsageError('want check')
  if (file === undefined) throw new UsageError('check: want the file of the rules')
  const rules = openRulesOf(file, await readGivenFile(file, rulesBytesMax))
  const shown: RuleMatch[] = []
  const show = (match: RuleMatch): void => {
    if (values.json) shown.push(match)
    else printLine(lineOf(match))
  }
  const events = values.events === undefined ? 0 : await tryRules(rules, values.events, signal, show)
  if (values.json) printJson({ rules: rules.names, events, matches: shown.map(matchJson) })
  else if (values.events === undefined) printLine(`${rules.names.length} rules: ${rules.names.join(', ')}`)
  return exitHolds
}

function openRulesOf(file: string, bytes: Uint8Array): Rules {
  try {
    return openRules(bytes, { hash: nativeSha256 })
  } catch (cause) {
    throw new Error(`${file}: ${describeError(cause)}`, { cause })
  }
}

function lineOf(match: RuleMatch): string {
  const { severity, entry } = match
  return `${String(entry.sequenceNumber).padStart(6)}  ${severity.padEnd(8)}  ${visibleText(describeMatch(match))}`
}

function matchJson({ rule, severity, because, group, entry }: RuleMatch): object {
  return { rule, severity, because, group, entry }
}
