import { mkdir, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { formatSth, parseSth, type SignedTreeHead } from '../../../tlog/sth.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { ClusterError } from '../../store/embedded/cluster-error.ts'
import { lockFolder } from '../../store/embedded/folder-lock.ts'
import { removeUnfinished, writeSecretFile } from '../../store/secret-file.ts'
import { integer, text } from '../state-members.ts'

/** What hooks are told once. */
export type Told = {
  /** UUID: of the alarm. */
  readonly id: string
  /** Type and place. */
  readonly key: string
  readonly violationType: string
  readonly sequenceNumber: number | null
  readonly detail: string
  /** Milliseconds since 1970. */
  readonly firstSeenMs: number
  /** Hooks that have the alarm, and those that do not yet, by name; how often they were tried, and when last. */
  readonly told: readonly string[]
  readonly untold: readonly string[]
  readonly attempts: number
  readonly triedMs: number
}

/** A violation as it is remembered, so that each is kept and told once. */
export type KnownFinding = Told & {
  /** Its file, absolute, and SHA-256 of that in hex; null where it could not be written yet. */
  readonly evidence: { readonly file: string; readonly sha256: string } | null
}

/** A rule that matched for a group, so that hooks are told of it once. */
export type KnownMatch = Told & { readonly evidence: Readonly<Record<string, unknown>> }

/** What was forgotten, until the hooks that were told of it are told so. */
export type Closing = KnownMatch & { readonly closedMs: number }

/** What a monitor must remember of a log from look to look. */
export type MonitorState = {
  readonly origin: string
  /** The note of the last checkpoint that held; undefined before the first. */
  readonly checkpoint: string | undefined
  readonly sth: SignedTreeHead | undefined
  /** Leaves whose tiles, and entries, were read. */
  readonly tilesSize: number
  readonly entriesSize: number
  readonly findings: readonly KnownFinding[]
  readonly matches: readonly KnownMatch[]
  /** Entries up to which matches were told. */
  readonly matchedSize: number
  readonly closings: readonly Closing[]
}

export function emptyState(origin: string): MonitorState {
  const sizes = { tilesSize: 0, entriesSize: 0, matchedSize: 0 }
  return { origin, checkpoint: undefined, sth: undefined, ...sizes, findings: [], matches: [], closings: [] }
}

/** A note has a megabyte at most; findings are a hundred, matches and closings a thousand each. */
const stateBytesMax = 32 * 1_048_576

/** The file where nothing else is said: of a log and its key, below `folder`. Nothing of the origin can lead elsewhere. */
export function defaultStateFile(vkey: { readonly name: string; readonly keyId: number }, folder: string): string {
  const name = vkey.name.replace(/[^A-Za-z0-9.-]+/g, '_').slice(0, 100)
  return join(folder, `dendrolog-monitor-${name}-${vkey.keyId.toString(16).padStart(8, '0')}.json`)
}

/** Undefined where there is no such file; throws where it is not what a monitor of this log wrote. */
export async function readState(file: string, origin: string): Promise<MonitorState | undefined> {
  const bytes = await readGivenFile(file, stateBytesMax).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (bytes === undefined) return undefined
  const state = parseOrRefuse(file, bytes.toString('utf8'))
  if (state.origin === origin) return state
  throw new Error(`${file}: is about the log ${JSON.stringify(state.origin)}, not this one; name another with --state`)
}

/** Replaces the file, mode 0600, durably: a crash leaves the old state or the new one. */
export async function writeState(file: string, { checkpoint, sth, ...rest }: MonitorState): Promise<void> {
  const members = { checkpoint: checkpoint ?? null, sth: sth === undefined ? null : formatSth(sth) }
  await writeSecretFile(file, `${JSON.stringify({ format: 1, ...rest, ...members }, null, 2)}\n`)
}

/**
 * That no other monitor works with this state: of two, one could believe one tree and the other another, and neither
 * would know. The lock is on a folder beside the file, since the file is replaced with each write.
 */
export async function lockState(file: string): Promise<() => Promise<void>> {
  const path = join(await realpath(dirname(resolve(file))), `${basename(file)}.lock`)
  await mkdir(path, { recursive: true, mode: 0o700 })
  try {
    return await lockFolder(path)
  } catch (cause) {
    if (!(cause instanceof ClusterError)) throw cause
    throw new Error(`${file}: another monitor works with this state; name another with --state`, { cause })
  }
}

/** Removes what monitors that were killed left beside the file. */
export async function tidyState(file: string): Promise<void> {
  await removeUnfinished(dirname(file), basename(file))
}

function parseOrRefuse(file: string, text: string): MonitorState {
  try {
    return parseState(JSON.parse(text))
  } catch (cause) {
    throw new Error(`${file}: is no state of a monitor; restore it, or move it away to begin anew`, { cause })
  }
}

type Members = Readonly<Record<string, unknown>>

function parseState(value: unknown): MonitorState {
  const {
    format,
    origin,
    checkpoint,
    sth,
    tilesSize,
    entriesSize,
    matchedSize = 0,
    ...lists
  } = Object(value) as Members
  if (format !== 1) throw new TypeError('unknown format')
  return {
    origin: text(origin),
    checkpoint: checkpoint === null ? undefined : text(checkpoint),
    sth: sth === null ? undefined : parseSth(sth),
    ...{ tilesSize: integer(tilesSize), entriesSize: integer(entriesSize) },
    matchedSize: integer(matchedSize),
    findings: array(lists.findings).map(parseFinding),
    matches: array(lists.matches ?? []).map(parseMatch),
    closings: array(lists.closings ?? []).map(parseClosing),
  }
}

function parseFinding(value: unknown): KnownFinding {
  const { evidence } = Object(value) as Members
  return { ...parseTold(value), evidence: evidence === null ? null : parseEvidence(Object(evidence) as Members) }
}

function parseMatch(value: unknown): KnownMatch {
  const { evidence } = Object(value) as Members
  if (typeof evidence !== 'object' || evidence === null) throw new TypeError('evidence: want an object')
  return { ...parseTold(value), evidence: evidence as Members }
}

function parseClosing(value: unknown): Closing {
  return { ...parseMatch(value), closedMs: integer((Object(value) as Members).closedMs) }
}

function parseTold(value: unknown): Told {
  const members = Object(value) as Members
  const { id, key, violationType, sequenceNumber, detail, firstSeenMs, told = [], untold, attempts } = members
  return {
    ...{ id: text(id), key: text(key), violationType: text(violationType), detail: text(detail) },
    sequenceNumber: sequenceNumber === null ? null : integer(sequenceNumber),
    firstSeenMs: integer(firstSeenMs),
    ...{ told: array(told).map(text), untold: array(untold).map(text) },
    ...{ attempts: integer(attempts), triedMs: integer(members.triedMs ?? 0) },
  }
}

function parseEvidence({ file, sha256 }: Members): KnownFinding['evidence'] {
  return { file: text(file), sha256: text(sha256) }
}

function array(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError(`got ${typeof value}, want an array`)
  return value
}
