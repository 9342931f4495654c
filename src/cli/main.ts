#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { type Command, type ExitStatus, exitCouldNotCheck, exitHolds, printJson, UsageError } from './command.ts'
import { describeError, stackOf } from './describe-error.ts'
import { interruption } from './interrupt.ts'

/** Each is loaded when it is asked for: together they are 20 MB. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.ts')).serveCommand,
  init: async () => (await import('./init.ts')).initCommand,
  append: async () => (await import('./append.ts')).appendCommand,
  prove: async () => (await import('./prove.ts')).proveCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  monitor: async () => (await import('./monitor.ts')).monitorCommand,
  tokens: async () => (await import('./tokens.ts')).tokensCommand,
  keys: async () => (await import('./keys.ts')).keysCommand,
  drill: async () => (await import('./drill.ts')).drillCommand,
  incident: async () => (await import('./incident.ts')).incidentCommand,
  recover: async () => (await import('./recover.ts')).recoverCommand,
  witness: async () => (await import('./witness.ts')).witnessCommand,
  rules: async () => (await import('./rules.ts')).rulesCommand,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
  config: async () => (await import('./config.ts')).configCommand,
}

const lingerMs = 2_000

const [name, ...args] = process.argv.slice(2)
// A reader that has seen enough (`| head`) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
// Node's own status would be 1, and say that a violation was found.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${stackOf(error)}\n`)
  process.exit(exitCouldNotCheck)
})
// Not process.exit(): what was written to a pipe would be lost.
process.exitCode = await runCommand(name, args)
// A driver that refused a login by itself leaves its connection open, and the process would wait for its end.
if (process.exitCode === exitCouldNotCheck) setTimeout(() => process.exit(), lingerMs).unref()

async function runCommand(name: string | undefined, args: readonly string[]): Promise<ExitStatus> {
  if (name === undefined) return refuseUse('want a command', await overview())
  if (name === '--version' || name === '-V') return print(`${readVersion()}\n`)
  if (name === '--help' || name === '-h' || name === 'help') {
    const [about, ...more] = args
    return about === undefined || about.startsWith('-')
      ? print(await overview())
      : runCommand(about, [...more, '--help'])
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) return refuseUse(`there is no command ${JSON.stringify(name)}`, await overview())
  const command = await load()
  if (asksForHelp(args)) return print(pageOf(name, command, args[0]))
  try {
    return await command.run(args, interruption(command.stopMs))
  } catch (error) {
    if (error instanceof UsageError) return refuseUse(`${name}: ${error.message}`, `${usage(name, command)}\n`)
    return refuse(name, args, error)
  }
}

async function refuse(name: string, args: readonly string[], error: unknown): Promise<ExitStatus> {
  const message = describeError(error)
  process.stderr.write(`dendrolog ${name}: ${message}\n`)
  // Only here: commands that need no settings begin without reading their tables.
  const { readSetting } = await import('../config.ts')
  if (readSetting('DENDROLOG_LOG_LEVEL') === 'debug') process.stderr.write(`${stackOf(error)}\n`)
  if (args.includes('--json')) printJson({ error: message })
  return exitCouldNotCheck
}

function refuseUse(reason: string, help: string): ExitStatus {
  process.stderr.write(`dendrolog: ${reason}\n\n${help}`)
  return exitCouldNotCheck
}

function print(text: string): ExitStatus {
  process.stdout.write(text)
  return exitHolds
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

function usage(name: string, { synopsis }: Command): string {
  return `usage: dendrolog ${name} ${synopsis}`
}

function pageOf(name: string, { pages = {}, ...command }: Command, word: string | undefined): string {
  const own = word !== undefined && Object.hasOwn(pages, word) ? pages[word] : undefined
  const { synopsis, help } = own ?? command
  return `usage: dendrolog ${own === undefined ? name : `${name} ${word}`} ${synopsis}\n\n${help.trim()}\n`
}

function readVersion(): string {
  const file = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
}

async function overview(): Promise<string> {
  const loaded = await Promise.all(Object.entries(commands).map(async ([name, load]) => ({ name, ...(await load()) })))
  const lines = loaded.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}\n`)
  return `usage: dendrolog COMMAND [OPTIONS]

${lines.join('')}
\`dendrolog COMMAND --help\` explains one, as \`dendrolog help COMMAND\`; \`--json\` makes any of them answer for programs; \`dendrolog --version\`
says which one this is. Settings are environment variables, see \`dendrolog config\`.
Exit status: 0 it holds or is done, 1 a violation was found, 2 it could not be checked or done, bad use too.
`
}
