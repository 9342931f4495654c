import { readFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { Logger } from './logger.ts'

/** Files that this process may have open, sockets among them; undefined where the system has no /proc, or no bound. */
export async function readOpenFilesMax(file = '/proc/self/limits'): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1]
  return soft === undefined ? undefined : Number(soft)
}

/** Connections to the database, threads, keys, modules: some 60 at a time. */
const ownFiles = 192
const connectionsMin = 64

/**
 * So many of `wanted` connections can be open beside the process's own files. Where one more could not be accepted, the
 * files of the signer's memory could not be opened either. Throws where too few are left to serve.
 */
export function boundConnections(wanted: number, openFilesMax: number | undefined): number {
  if (openFilesMax === undefined || openFilesMax >= wanted + ownFiles) return wanted
  const left = openFilesMax - ownFiles
  if (left >= connectionsMin) return left
  const want = ownFiles + connectionsMin
  throw new Error(
    `this process may have ${openFilesMax} files open, want at least ${want}: raise the limit (ulimit -n)`,
  )
}

/** A process without a free file can neither accept nor remember what it signed. */
export async function limitConnections(http: Server, logger: Logger): Promise<void> {
  const openFiles = await readOpenFilesMax()
  const connections = boundConnections(http.maxConnections, openFiles)
  if (connections === http.maxConnections) return
  const bounds = { connections, insteadOf: http.maxConnections, openFiles }
  logger.warn(bounds, 'fewer connections than otherwise: raise the limit of open files (ulimit -n)')
  http.maxConnections = connections
}
