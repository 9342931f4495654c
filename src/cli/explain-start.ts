import { resolve } from 'node:path'
import { ConfigError, findUnknownSettings, readSetting } from '../config.ts'
import { type Command, UsageError } from './command.ts'
import { describeError, describeUnknown, reasonOf, type SystemError } from './describe-error.ts'

/** A command that starts database or server: its errors name the setting or folder, and what to do. */
export function explainStart(run: Command['run']): Command['run'] {
  return async (args, signal) => {
    const unknown = findUnknownSettings().map(describeUnknown)
    if (unknown.length > 0) process.stderr.write(`dendrolog: warning: ${unknown.join('; ')}\n`)
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

/** What keeps a path from being used (errno(3)), and what to do. */
const pathReasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not use it; let it write there',
  EPERM: 'this user may not change it; let it write there',
  EROFS: 'it is on a file system that is read-only; let it be written',
  ENOSPC: 'the disk is full; make room',
  EDQUOT: 'the quota of the disk is used up; make room',
  ENOENT: 'a folder on its way is missing; make it',
  ENOTDIR: 'a part of it is no folder; move that away',
  EEXIST: 'something else has that name; move that away',
  EISDIR: 'it is a folder, and a file is wanted there; move it away',
  ELOOP: 'symbolic links lead around in a circle; correct them',
  ENAMETOOLONG: 'it is too long; shorten it',
}
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
  const reason = pathReasons[code]
  if (path !== undefined && reason !== undefined) return describePath(path, `${reason} (${code})`)
  if (connectCodes.includes(code)) {
    return `${setting}: no database answers (${reasonOf(error)}); start it, or correct host and port`
  }
  return undefined
}

function describePath(path: string, reason: string): string {
  // A file is written under another name before it gets its own.
  const file = path.replace(/\/\.([^/]+)\.dendrolog-[0-9a-f]{16}$/, '/$1')
  const dataDir = resolve(readSetting('DENDROLOG_DATA_DIR'))
  const isOurs = isBelow(resolve(file), dataDir) || isBelow(dataDir, resolve(file))
  return isOurs
    ? `DENDROLOG_DATA_DIR: ${file} cannot be used: ${reason}, or set another folder`
    : `${file} cannot be used: ${reason}`
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
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
  if (/client password must be a string/.test(error.message)) {
    return `${setting}: the database asks for a password and there is none; want postgres://user:password@host:5432/database`
  }
  const isRole = setting !== 'DATABASE_URL'
  const advice = error.code === '42501' && isRole ? letConnect : refusals[error.code ?? '']
  return advice === undefined ? undefined : `${setting}: ${error.message}; ${advice}`
}
