import { join } from 'node:path'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'
import { type Ending, readEnding } from './ending.ts'

/** What a data folder says of its log: the name, and how far making it came, or that it was ended. */
export type LogFile =
  /** `succeeds`: the end of the log before it, which its first entry is to tell of. */
  | { readonly origin: string; readonly state: 'creating'; readonly succeeds?: Ending }
  | { readonly origin: string; readonly state: 'ready' }
  | { readonly origin: string; readonly state: 'ended'; readonly ending: Ending }

/** Undefined where the folder has no log; throws where the file is not what was written. */
export async function readLogFile(dataDir: string): Promise<LogFile | undefined> {
  const text = await readSecretFile(logFilePath(dataDir))
  if (text === undefined) return undefined
  try {
    return parseLogFile(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${logFilePath(dataDir)}: is not what dendrolog wrote; if it was edited, restore it`, { cause })
  }
}

/** Durable when this resolves. */
export async function writeLogFile(dataDir: string, file: LogFile): Promise<void> {
  await writeSecretFile(logFilePath(dataDir), `${JSON.stringify(file, null, 2)}\n`)
}

function logFilePath(dataDir: string): string {
  return join(dataDir, 'log.json')
}

function parseLogFile(value: unknown): LogFile {
  const { origin, state, succeeds, ending } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof origin !== 'string') throw new TypeError('origin: want text')
  if (state === 'ready') return { origin, state }
  if (state === 'ended') return { origin, state, ending: readEnding(ending) }
  if (state !== 'creating') throw new TypeError('state: want creating, ready or ended')
  return succeeds === undefined ? { origin, state } : { origin, state, succeeds: readEnding(succeeds) }
}
