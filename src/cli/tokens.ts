import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { namePattern } from '../../api/token-members.ts'
import { TokenRefusal } from '../auth/token-office.ts'
import { readConfig, readSetting } from '../config.ts'
import {
  type Command,
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  type Parsed,
  parseArguments,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from './command.ts'
import { openPlace } from './server-fetch.ts'
import { readTokenFile } from './token-file.ts'
import { makeLocalToken } from './tokens/local.ts'
import { tokenPages, tokensHelp } from './tokens/pages.ts'
import {
  expireToken,
  listTokens,
  makeToken,
  revokeToken,
  ServerRefusal,
  type ShownToken,
  type TokenServer,
} from './tokens/server.ts'

export const tokensCommand: Command = {
  summary: 'make, list, revoke tokens, and let them expire',
  synopsis: 'make NAME --role ROLE [--local] | list | revoke ID|NAME | expire ID|NAME --at TIME  [OPTIONS]',
  help: tokensHelp,
  pages: tokenPages,
  run: runTokens,
}

const options = {
  role: { type: 'string' },
  scope: { type: 'string', multiple: true },
  expires: { type: 'string' },
  requests: { type: 'string' },
  entries: { type: 'string' },
  out: { type: 'string' },
  local: { type: 'boolean' },
  all: { type: 'boolean' },
  at: { type: 'string' },
  url: { type: 'string' },
  ca: { type: 'string' },
  'token-file': { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = Parsed<typeof options>['values']
type Verb = {
  readonly takesPlace: boolean
  /** Options that it takes beside those of every verb. */
  readonly options: readonly (keyof Values)[]
  readonly run: (place: string, values: Values, signal: AbortSignal) => Promise<void>
}

const verbs: Readonly<Record<string, Verb>> = {
  make: { takesPlace: true, options: ['role', 'scope', 'expires', 'requests', 'entries', 'out', 'local'], run: make },
  list: { takesPlace: false, options: ['all'], run: list },
  revoke: { takesPlace: true, options: [], run: revoke },
  expire: { takesPlace: true, options: ['at'], run: expire },
}
const everyVerbs: readonly (keyof Values)[] = ['url', 'ca', 'token-file', 'json']

async function runTokens(args: readonly string[], signal: AbortSignal): Promise<ExitStatus> {
  const { values, positionals } = parseArguments(args, options, 2)
  const [name = '', place] = positionals
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (verb === undefined) throw new UsageError('want make, list, revoke or expire')
  if (verb.takesPlace !== (place !== undefined))
    throw new UsageError(`${name}: want ${verb.takesPlace ? 'a name' : 'no name'}`)
  const known = [...everyVerbs, ...verb.options]
  const stray = Object.keys(values).find((option) => !known.includes(option as keyof Values))
  if (stray !== undefined) throw new UsageError(`${name} takes no --${stray}`)
  try {
    await verb.run(place ?? '', values, signal)
    return exitHolds
  } catch (error) {
    if (!(error instanceof ServerRefusal || error instanceof TokenRefusal)) throw error
    process.stderr.write(`dendrolog tokens: ${visibleText(error.message)}\n`)
    if (values.json) printJson({ error: error.message, code: error.code })
    return exitCouldNotCheck
  }
}

async function openServer(values: Values): Promise<TokenServer> {
  const file = values['token-file'] ?? join(readSetting('DENDROLOG_DATA_DIR'), 'tokens.json')
  return { ...(await openPlace(values.url, values.ca)), token: await readTokenFile(file, 'admin') }
}

async function make(name: string, values: Values, signal: AbortSignal): Promise<void> {
  const making = values.local === true ? readLocal(name, values, signal) : readWanted(name, values, signal)
  const { out, json } = values
  if (out === undefined) {
    const { token, secret } = await making()
    if (json) return printJson({ token, secret })
    process.stderr.write(`${describe(token)}\nThis is its secret; it is not shown again:\n`)
    return printLine(secret)
  }
  const token = await makeInto(out, making)
  if (json) return printJson({ token })
  printLine(`${describe(token)}; its secret is in ${visibleText(out)}`)
}

type Making = () => ReturnType<typeof makeToken>

/** What a server is asked for. */
function readWanted(name: string, values: Values, signal: AbortSignal): Making {
  const { role, scope, expires, requests, entries } = values
  if (role === undefined) throw new UsageError('make: want --role writer, auditor or admin')
  const wanted = {
    ...{ name, role },
    ...(scope === undefined ? {} : { scopes: scope }),
    ...(expires === undefined ? {} : { expiresAt: expires }),
    ...(requests === undefined ? {} : { requestsPerSecond: readCount('--requests', requests) }),
    ...(entries === undefined ? {} : { entriesPerSecond: readCount('--entries', entries) }),
  }
  return async () => makeToken(await openServer(values), wanted, signal)
}

/** Administrators only, of the whole role: they make what else is wanted. */
function readLocal(name: string, values: Values, signal: AbortSignal): Making {
  const known: readonly string[] = ['role', 'local', 'out', 'json']
  const stray = Object.keys(values).find((option) => !known.includes(option))
  if (stray !== undefined) throw new UsageError(`make --local takes no --${stray}`)
  if (values.role !== 'admin') throw new UsageError('make --local: want --role admin')
  if (!namePattern.test(name)) throw new UsageError(`make --local: want a name like ${namePattern.source}`)
  return async () => makeLocalToken(readConfig(), name, signal)
}

/** The file is there before the token: a secret that cannot be kept is not asked for. */
async function makeInto(file: string, making: Making): Promise<ShownToken> {
  const handle = await openNew(file)
  try {
    const { token, secret } = await making().catch(async (error: unknown) => {
      await rm(file, { force: true })
      throw error
    })
    await writeSecret(handle, secret).catch((cause: Error) => {
      throw new Error(`${describe(token)} was made, but not its file: ${cause.message}; revoke it`, { cause })
    })
    return token
  } finally {
    await handle.close()
  }
}

async function writeSecret(handle: FileHandle, secret: string): Promise<void> {
  await handle.writeFile(`${secret}\n`)
  await handle.sync()
}

/** Exclusive creation follows no link either (open(2)). */
async function openNew(file: string): Promise<FileHandle> {
  try {
    const handle = await open(file, 'wx', 0o600)
    // A strict umask may have taken the owner's own rights.
    await handle.chmod(0o600)
    return handle
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new Error(`--out ${file}: ${code === 'EEXIST' ? 'is there already' : `cannot be made (${code})`}`, { cause })
  }
}

async function list(_: string, values: Values, signal: AbortSignal): Promise<void> {
  const { all, json } = values
  const tokens: ShownToken[] = []
  for await (const token of listTokens(await openServer(values), signal)) {
    if (all === true || token.state === 'live') tokens.push(token)
  }
  if (json) return printJson({ tokens })
  const header = ['NAME', 'ROLE', 'SCOPES', 'STATE', 'REQUESTS/S', 'ENTRIES/S', 'LAST USED', 'EXPIRES', 'ID']
  const rows = [header, ...tokens.map(cellsOf)]
  const widths = header.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  for (const row of rows) {
    const cells = row.map((cell, i) => cell.padEnd(widths[i] ?? 0))
    printLine(cells.join('  ').trimEnd())
  }
}

function cellsOf({ name, role, scopes, state, lastUsedAt, expiresAt, id, ...rates }: ShownToken): string[] {
  const [used, expires] = [lastUsedAt, expiresAt].map((time) => time?.replace(/\.\d+/, ''))
  const [requests, entries] = [rates.requestsPerSecond, rates.entriesPerSecond].map(rateText)
  const texts = [name, role, scopes?.join(',') ?? 'all', state, requests, entries, used ?? 'never', expires ?? 'never']
  return [...texts, id].map((text) => visibleText(text ?? ''))
}

/** Null where the token has none of its own. */
function rateText(rate: number | null): string {
  if (rate === null) return 'default'
  return rate === 0 ? 'no limit' : String(rate)
}

async function revoke(place: string, values: Values, signal: AbortSignal): Promise<void> {
  const token = await revokeToken(await openServer(values), place, signal)
  if (values.json) printJson({ token })
  else printLine(`${describe(token)} was revoked at ${token.revokedAt}; other servers refuse it within 5 s`)
}

async function expire(place: string, values: Values, signal: AbortSignal): Promise<void> {
  const { at, json } = values
  if (at === undefined) throw new UsageError('expire: want --at TIME; to end a token now, revoke it')
  const token = await expireToken(await openServer(values), place, at, signal)
  if (json) printJson({ token })
  else printLine(`${describe(token)} expires at ${token.expiresAt}`)
}

function describe({ name, role, id }: ShownToken): string {
  return visibleText(`token ${name} (${role}, ${id})`)
}

function readCount(name: string, text: string): number {
  const n = Number(text)
  if (Number.isSafeInteger(n) && String(n) === text && n >= 0) return n
  throw new UsageError(`${name}: want a number, 0 or more`)
}
