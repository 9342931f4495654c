import { basename, dirname } from 'node:path'
import { formatHex, parseHex } from '../../../tlog/bytes.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { createSecretFile, removeUnfinished, writeSecretFile } from '../../store/secret-file.ts'
import { integer, text } from '../state-members.ts'
import type { Place } from './lines.ts'
import type { RunKey } from './record-id.ts'
import type { RefusedRecord } from './server.ts'

/**
 * What a run must remember to go on after a crash. Exactly once rests on `run` alone, which is durable before the
 * first record is sent: with it every line has the id that it had before. The rest saves sending again.
 */
export type AppendState = {
  /** The log that the records went to. */
  readonly origin: string
  readonly run: RunKey
  /** The input up to here was answered. */
  readonly place: Place
  /**
   * SHA-256 of the bytes before `place.offset`, hex: tells whether the input is still the same. States of format 1 have
   * that of the last 64 KiB of them.
   */
  readonly sent: string | { readonly tail: string }
  readonly counts: Counts
  /** The first `refusedKeptMax` of the records that did not become entries. */
  readonly refused: readonly RefusedLine[]
}

/** A record that did not become an entry. */
export type RefusedLine = Omit<RefusedRecord, 'i'> & { readonly line: number }

/** The state is written anew with each batch: some 200 KB of it. */
export const refusedKeptMax = 1_000
const stateBytesMax = 16 * 1_048_576

/** Of this and earlier runs. Indexes are those of entries made or found, null where there are none. */
export type Counts = {
  readonly accepted: number
  readonly duplicates: number
  /** Records that the server put into quarantine, and lines that could not be sent. */
  readonly refused: number
  readonly firstIndex: number | null
  readonly lastIndex: number | null
}

export const noCounts: Counts = { accepted: 0, duplicates: 0, refused: 0, firstIndex: null, lastIndex: null }

/** Undefined where there is no such file; an error where it is not what `append` wrote. */
export async function readState(path: string): Promise<AppendState | undefined> {
  const bytes = await readGivenFile(path, stateBytesMax).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (bytes === undefined) return undefined
  try {
    return parseState(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new Error(`${path}: is not what append wrote; if it was edited, restore it`, { cause })
  }
}

/** Makes the file, mode 0600, durably. False where another run made it first: its run key counts then. */
export async function createState(path: string, state: AppendState): Promise<boolean> {
  return createSecretFile(path, formatState(state))
}

/** Replaces the file: a crash leaves the old state or the new one. */
export async function writeState(path: string, state: AppendState): Promise<void> {
  await writeSecretFile(path, formatState(state))
}

/** Removes what runs that were killed left beside the file. */
export async function tidyState(path: string): Promise<void> {
  await removeUnfinished(dirname(path), basename(path))
}

function formatState({ origin, run, place, sent, counts, refused }: AppendState): string {
  const { secret, startedMs } = run
  const state = {
    format: 2,
    origin,
    runKey: formatHex(secret),
    startedMs,
    ...place,
    ...(typeof sent === 'string' ? { sent } : sent),
    ...counts,
    refusedRecords: refused,
  }
  return `${JSON.stringify(state, null, 2)}\n`
}

function parseState(value: unknown): AppendState {
  const state = value as Readonly<Record<string, unknown>>
  if (state.format !== 1 && state.format !== 2) throw new TypeError('unknown format')
  const count = (name: string): number => integer(state[name])
  const index = (name: string): number | null => (state[name] === null ? null : count(name))
  const secret = parseHex(text(state.runKey))
  if (secret.length !== 16) throw new TypeError('runKey: want 16 bytes')
  return {
    origin: text(state.origin),
    run: { secret, startedMs: count('startedMs') },
    place: { offset: count('offset'), line: count('line') },
    sent: state.format === 1 ? { tail: text(state.tail) } : text(state.sent),
    counts: {
      ...{ accepted: count('accepted'), duplicates: count('duplicates'), refused: count('refused') },
      ...{ firstIndex: index('firstIndex'), lastIndex: index('lastIndex') },
    },
    refused: parseRefused(state.refusedRecords),
  }
}

function parseRefused(value: unknown): RefusedLine[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new TypeError('refusedRecords: want an array')
  return value.map(({ line, code, detail, pointer }: Readonly<Record<string, unknown>>) => ({
    ...{ line: integer(line), code: text(code), detail: text(detail) },
    pointer: pointer === undefined ? undefined : text(pointer),
  }))
}
