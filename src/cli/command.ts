import { type ParseArgsConfig, parseArgs } from 'node:util'

/** Of every command, so that a cron job can tell them apart. */
export type ExitStatus = 0 | 1 | 2

/** What was asked for holds, or was done. */
export const exitHolds = 0
/** A violation was found. Nothing else. */
export const exitViolation = 1
/** It could not be found out, or not be done: bad use, no database, no server, refused. */
export const exitCouldNotCheck = 2

/** A command of `dendrolog`. Bad use is a UsageError; other errors are answered by main.ts, both with status 2. */
export type Command = {
  /** One line for the list of commands. */
  readonly summary: string
  /** Arguments as a usage line shows them. */
  readonly synopsis: string
  /** What `--help` prints below the usage line. */
  readonly help: string
  /** Pages of the words that may come first, where `help` is about all of them. */
  readonly pages?: Readonly<Record<string, { readonly synopsis: string; readonly help: string }>>
  /** So long it may take to end after SIGINT or SIGTERM, milliseconds; 2 s where it does not say. */
  readonly stopMs?: number
  readonly run: (args: readonly string[], signal: AbortSignal) => Promise<ExitStatus>
}

/** Arguments that a command does not take. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

type Options = NonNullable<ParseArgsConfig['options']>

export type Parsed<T extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; strict: true; allowPositionals: true }>
>

/** Reads the arguments of a command, strictly; UsageError on unknown options and on more than `placesMax` words. */
export function parseArguments<const T extends Options>(
  args: readonly string[],
  options: T,
  placesMax: number,
): Parsed<T> {
  const parsed = parseOrRefuse(args, options)
  const extra = parsed.positionals[placesMax]
  if (extra !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`)
  return parsed
}

function parseOrRefuse<const T extends Options>(args: readonly string[], options: T): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true })
  } catch (error) {
    const code = (error as { code?: unknown }).code
    if (!(error instanceof Error) || !String(code).startsWith('ERR_PARSE_ARGS')) throw error
    // Node's advice about `--` follows the first sentence.
    throw new UsageError((error.message.split(/\. |\n/)[0] ?? '').replace(/\.$/, ''))
  }
}

export function printLine(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value))
}

/** Text of others on a terminal, quoted. */
export function quoteText(text: string): string {
  return visibleText(JSON.stringify(text))
}

/** Text without anything that could move the cursor or turn the line around: such characters become escapes. */
export function visibleText(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
