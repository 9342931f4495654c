import { ConfigError, findUnknownSettings, readConfig, reportConfig, type SettingReport } from '../config.ts'
import {
  type Command,
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  parseArguments,
  printJson,
  printLine,
} from './command.ts'
import { describeUnknown } from './describe-error.ts'

export const configCommand: Command = {
  summary: 'print every setting, its value, and where that came from',
  synopsis: '[--json]',
  help: `Prints every setting: value, default, unit, source and purpose. Passwords in URLs are not shown. Also a setting
that cannot be used is printed, and below the table what is wrong with it, and which variables are no settings.

  --json   {"settings": [...], "unknown": [{name, nearest}], "error": text or null}

Exit status: 0 all can be used, 2 one cannot.`,
  run: async (args) => printConfig(args),
}

const columns = ['name', 'value', 'default', 'unit', 'source', 'purpose'] as const

function printConfig(args: readonly string[]): ExitStatus {
  const { values } = parseArguments(args, { json: { type: 'boolean' } }, 0)
  const settings = reportConfig()
  const unknown = findUnknownSettings()
  const error = findError()
  const remarks = [...unknown.map(describeUnknown), ...(error === undefined ? [] : [`error: ${error}`])]
  if (values.json) printJson({ settings, unknown, error: error ?? null })
  else printLine([...formatTable(settings), ...(remarks.length === 0 ? [] : ['']), ...remarks].join('\n'))
  return error === undefined ? exitHolds : exitCouldNotCheck
}

function findError(): string | undefined {
  try {
    readConfig()
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

function formatTable(settings: readonly SettingReport[]): string[] {
  const header = columns.map((column) => column.toUpperCase())
  const rows = [header, ...settings.map((setting) => columns.map((column) => setting[column] || '-'))]
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
