import { createHmac, timingSafeEqual } from 'node:crypto'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import { asCompactRange, type CompactRange, emptyRange } from '../../tlog/compact-range.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import type { Finding } from './finding.ts'
import type { KnownProbes } from './probes.ts'

/** A finding as it is remembered: what it was when it was seen first. */
export type KnownFinding = {
  /** What makes two findings the same. */
  readonly key: string
  readonly violationType: Finding['kind']
  readonly sequenceNumber: number | null
  readonly detail: string
  /** Milliseconds since 1970. */
  readonly firstSeenMs: number
}

/** The last look at a log; milliseconds since 1970. */
export type Look = {
  /** When the last that could check all that it should ended; null before. */
  readonly checkedMs: number | null
  /** What could not be checked then; null where all could. */
  readonly missed: string | null
  /** By when a verifier is to have looked again; null where only others know, as of a job. */
  readonly dueMs: number | null
}

/** The last pass over all rows; milliseconds since 1970. */
export type FullPass = {
  readonly startedMs: number
  readonly endedMs: number
  readonly size: number
  /** Whether it could check all that it should. */
  readonly isComplete: boolean
  /** What is told of a verifier's rounds is not told by having been found here. */
  readonly findings: readonly KnownFinding[]
}

/**
 * What a verifier remembers from run to run, outside of the database that it watches. Nothing of it is asked of anybody:
 * it was computed from rows, and the rows must still make it.
 */
export type VerifierState = {
  /** Entries of the beginning of the log that were hashed, a multiple of 256, and their tree. */
  readonly base: CompactRange
  /** Of the last of them: `current_hash`, and microseconds since 1970. */
  readonly lastChainHash: string | undefined
  readonly lastTimestamp: number
  /** Number of the newest checkpoint that was checked; -1 before the first. */
  readonly lastCheckpoint: number
  /** Of each full range of 65,536 entries the root, hex. */
  readonly rangeRoots: readonly string[]
  /** The range that is hashed again next, and when the round over all of them began; milliseconds since 1970. */
  readonly sweep: { readonly next: number; readonly startedMs: number }
  /** When all that was there had been hashed again the last time, the whole beginning with it; null before. */
  readonly coveredMs: number | null
  /** Null before the first. */
  readonly probed: KnownProbes | null
  readonly look: Look
  /** Null before the first. */
  readonly full: FullPass | null
  readonly findings: readonly KnownFinding[]
}

export const emptyState: VerifierState = {
  base: emptyRange,
  lastChainHash: undefined,
  lastTimestamp: Number.NaN,
  lastCheckpoint: -1,
  rangeRoots: [],
  sweep: { next: 0, startedMs: 0 },
  coveredMs: null,
  probed: null,
  look: { checkedMs: null, missed: null, dueMs: null },
  full: null,
  findings: [],
}

/** What rounds and the last full pass found. */
export function findingsOf({ findings, full }: VerifierState): readonly KnownFinding[] {
  const keys = new Set(findings.map(({ key }) => key))
  return [...findings, ...(full?.findings.filter(({ key }) => !keys.has(key)) ?? [])]
}

/** Since when all has been hashed again, by rounds or by a full pass; null before. */
export function coveredMsOf({ coveredMs, full }: VerifierState): number | null {
  if (full === null || !full.isComplete || (coveredMs !== null && coveredMs > full.startedMs)) return coveredMs
  return full.startedMs
}

/** Of a clock that was ahead nothing is believed: else what is due would wait until then. */
export function withoutFuture(state: VerifierState, nowMs: number): VerifierState {
  const { sweep, coveredMs, full } = state
  return {
    ...state,
    sweep: { ...sweep, startedMs: sweep.startedMs > nowMs ? 0 : sweep.startedMs },
    coveredMs: coveredMs !== null && coveredMs > nowMs ? null : coveredMs,
    full: full !== null && full.startedMs > nowMs ? null : full,
  }
}

/** The state as text: a line of JSON, and the HMAC-SHA-256 of origin and line under the log's seal key. */
export function formatState(state: VerifierState, origin: string, key: Uint8Array): string {
  const { base, lastTimestamp, ...rest } = state
  const line = JSON.stringify({
    size: base.size,
    frontier: formatHex(base.hashes),
    lastTimestamp: Number.isNaN(lastTimestamp) ? null : lastTimestamp,
    ...rest,
  })
  return `${line}\n${formatHex(sign(line, origin, key))}\n`
}

/** Throws where the text is not what a verifier of this log with this key wrote. */
export function parseState(text: string, origin: string, key: Uint8Array): VerifierState {
  const [line = '', mac = ''] = text.split('\n')
  const want = Buffer.from(formatHex(sign(line, origin, key)))
  const got = Buffer.from(mac)
  if (got.length !== want.length || !timingSafeEqual(got, want)) {
    throw new Error('the state of the verifier is not what it wrote: it was altered, or is of another log or key')
  }
  // Whoever has the key wrote it: the shape is ours. One of an older version lacks members.
  const { size, frontier, lastTimestamp, ...rest } = JSON.parse(line) as Omit<VerifierState, 'base'> & {
    readonly size: number
    readonly frontier: string
  }
  return {
    ...emptyState,
    ...rest,
    base: asCompactRange(asTreeSize(size), parseHex(frontier)),
    lastTimestamp: lastTimestamp ?? Number.NaN,
    lastChainHash: rest.lastChainHash,
  }
}

function sign(line: string, origin: string, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(`dendrolog/verifier/1\0${origin}\0`).update(line).digest()
}
