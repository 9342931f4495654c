import { join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'

/** What a data folder says of its log: the name, and whether making it came to its end. */
export type LogFile = { readonly origin: string; readonly state: 'creating' | 'ready' }

/** Undefined where the folder has no log; throws where the file is not what was written. */
export async function readLogFile(dataDir: string): Promise<LogFile | undefined> {
  const text = await readSecretFile(logFilePath(dataDir))
  if (text === undefined) return undefined
  const { origin, state } = parseMembers(text)
  if (typeof origin === 'string' && (state === 'creating' || state === 'ready')) return { origin, state }
  throw new Error(`${logFilePath(dataDir)}: is not what dendrolog wrote; if it was edited, restore it`)
}

/** Durable when this resolves. */
export async function writeLogFile(dataDir: string, file: LogFile): Promise<void> {
  await writeSecretFile(logFilePath(dataDir), `${JSON.stringify(file, null, 2)}\n`)
}

function logFilePath(dataDir: string): string {
  return join(dataDir, 'log.json')
}

function parseMembers(text: string): { readonly origin?: unknown; readonly state?: unknown } {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
