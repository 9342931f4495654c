import { ConfigError } from '../config.ts'
import { type Command, UsageError } from './command.ts'

/** An error as one line. */
export function describeError(error: unknown): string {
  return oneLine(error instanceof Error ? reasonOf(error) : String(error))
}

/** Stack of an error and of what caused it: for whoever debugs. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? `${error.stack}` : `${error.stack}\ncaused by ${stackOf(error.cause)}`
}

/** A command that starts database or server: its errors name the setting or folder, and what to do. */
export function explainStart(run: Command['run']): Command['run'] {
  return async (args, signal) => {
    try {
      return await run(args, signal)
    } catch (cause) {
      if (cause instanceof UsageError || !(cause instanceof Error)) throw cause
      throw new Error(describeStart(cause), { cause })
    }
  }
}

function describeStart(error: Error): string {
  // A setting that names a database which cannot be used: the advice is that of the cause.
  const [setting, reason] =
    error instanceof ConfigError && error.cause instanceof Error
      ? [error.setting, error.cause]
      : ['DATABASE_URL', error]
  return describeSystemError(reason, setting) ?? describeDatabaseError(reason, setting) ?? describeError(error)
}

/** Of Node: what failed, where. */
type SystemError = Error & {
  readonly code?: string
  readonly syscall?: string
  readonly path?: string
  readonly address?: string
  readonly port?: number
}

const folderCodes = ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'ENOTDIR', 'EDQUOT']
const connectCodes = [
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNRESET',
]

function describeSystemError(error: SystemError, setting: string): string | undefined {
  const { code, syscall, path } = error
  if (code === undefined) return undefined
  if (syscall === 'listen' || syscall === 'bind') return describeListen(error)
  if (path !== undefined && folderCodes.includes(code)) {
    return `DENDROLOG_DATA_DIR: ${path} cannot be used (${code}); let this user write there, or set another folder`
  }
  if (connectCodes.includes(code)) {
    return `${setting}: no database answers (${reasonOf(error)}); start it, or correct host and port`
  }
  return undefined
}

function describeListen({ code, address, port, message }: SystemError): string {
  const place = `${address ?? ''}:${port ?? ''}`
  if (code === 'EADDRINUSE') {
    return `PORT: ${place} is in use; stop what listens there, or set PORT to another (0 takes a free one)`
  }
  if (code === 'EACCES') return `PORT: this user may not listen on ${place}; set PORT to 1024 or more`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return `HOST: this machine has no address ${address}; set another`
  return `HOST, PORT: cannot listen on ${place}: ${message}`
}

/** SQLSTATEs of a refused connection (PostgreSQL documentation, appendix A). */
const refusals: Readonly<Record<string, string>> = {
  '28P01': 'correct user and password',
  '28000': 'correct the user, or let it in (pg_hba.conf)',
  '3D000': 'create the database, or correct its name',
  '42501': 'use the login of an administrator, who may create roles and schemas',
  '53300': 'the server has no connection left; raise max_connections',
  '57P03': 'wait until the server is up',
}

const letConnect = 'let this role in (grant connect on database)'

function describeDatabaseError(error: SystemError, setting: string): string | undefined {
  if (error.code === 'ERR_INVALID_URL') return `${setting}: is no URL; want postgres://user:password@host:5432/database`
  const isRole = setting !== 'DATABASE_URL'
  const advice = error.code === '42501' && isRole ? letConnect : refusals[error.code ?? '']
  return advice === undefined ? undefined : `${setting}: ${error.message}; ${advice}`
}

/** An AggregateError of several addresses has an empty message. */
function reasonOf(error: SystemError): string {
  if (error.message !== '') return error.message
  const [first] = error instanceof AggregateError ? error.errors : []
  return first instanceof Error ? first.message : (error.code ?? error.name)
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' | ')
}
