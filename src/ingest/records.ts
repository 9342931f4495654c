import { setImmediate as nextTurn } from 'node:timers/promises'
import { TlogError } from '../../tlog/errors.ts'
import { skipSpace } from '../../tlog/json-scan.ts'
import { Arena } from '../log/arena.ts'
import type { Submission } from '../log/submission.ts'
import { checkRecordBytes, type RecordContext, type RecordReader, recordBytesMax } from './record.ts'
import { skipValue } from './skip-value.ts'

/** Why a record is none, and its bytes: bytes[start, end) of the body. */
export type RefusedRecord = {
  /** Place in the request, from 0. */
  readonly i: number
  readonly code: string
  readonly detail: string
  readonly pointer: string | undefined
  readonly start: number
  readonly end: number
}

/** The records of one request: each is either a submission or refused. */
export type Records = {
  readonly count: number
  readonly submissions: readonly Submission[]
  /** Of each submission: its place in the request, and its bytes [starts, ends) of the body. */
  readonly places: readonly number[]
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  readonly refused: readonly RefusedRecord[]
  /** Where the submissions lie; released by whoever is done with them. */
  readonly arena: Arena
}

export type RecordLimits = {
  readonly recordsMax: number
  /** Told of bytes that are made of the body beyond what is ordinary; throws where there is no room for them. */
  readonly charge?: (bytes: number) => void
}

/** A request with more records than one may have. */
export class TooManyRecords extends Error {
  constructor(recordsMax: number) {
    super(`more than ${recordsMax} records in a request`)
    this.name = 'TooManyRecords'
  }
}

/**
 * After so long the event loop gets a turn. Counts of records or bytes are no measure of time: a record of 200 kB may
 * take 0.1 ms or, full of numbers that grow when they are written out, 300.
 */
const turnMs = 4

const newline = 0x0a
const comma = 0x2c
const openBracket = 0x5b
const closeBracket = 0x5d

/** Reads newline-delimited JSON. Blank lines count for nothing; a line that is no record does not stop the others. */
export async function readNdjson(
  reader: RecordReader,
  body: Uint8Array,
  limits: RecordLimits,
  context: RecordContext,
): Promise<Records> {
  const list = new RecordList(body, limits)
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(newline, start)
    const end = found < 0 ? body.length : found
    if (skipSpace(body, start, end) < end) {
      list.add(start, end, () => reader.read(body, start, end, list.arena, context))
    }
    start = end + 1
    if (list.isTurnOver) await list.nextTurn()
  }
  return list
}

/**
 * Reads a JSON array of records. What is not JSON at all throws `malformed-json` with the offset in the body: behind it
 * nobody can tell where the next record begins.
 */
export async function readArray(
  reader: RecordReader,
  body: Uint8Array,
  limits: RecordLimits,
  context: RecordContext,
): Promise<Records> {
  const list = new RecordList(body, limits)
  let at = expect(body, skipSpace(body, 0, body.length), openBracket, 'want an array')
  at = skipSpace(body, at, body.length)
  if (body[at] === closeBracket) return finishArray(body, at + 1, list)
  for (;;) {
    const start = skipSpace(body, at, body.length)
    const end = addElement(reader, body, start, list, context)
    if (list.isTurnOver) await list.nextTurn()
    at = skipSpace(body, end, body.length)
    if (body[at] === closeBracket) return finishArray(body, at + 1, list)
    at = expect(body, at, comma, 'want "," or "]"')
  }
}

/** Reads no further than a record may be long; of a longer one only the end is looked for. */
function addElement(
  reader: RecordReader,
  body: Uint8Array,
  start: number,
  list: RecordList,
  context: RecordContext,
): number {
  const within = Math.min(body.length, start + recordBytesMax + 1)
  const end = endOfElement(reader, body, start, within)
  list.add(start, end, () => {
    checkRecordBytes(end - start)
    return reader.submission(list.arena, context)
  })
  return end
}

function endOfElement(reader: RecordReader, body: Uint8Array, start: number, within: number): number {
  try {
    const end = reader.scan(body, start, within, 0)
    if (end < within || within === body.length) return end
    return Math.max(end, skipValue(body, start, body.length))
  } catch (error) {
    // All of it was JSON so far: what is behind it can be told apart by its end.
    const isTooMuch = error instanceof TlogError && error.code === 'json-not-strict'
    const end = within === body.length && !isTooMuch ? -1 : skipValue(body, start, body.length)
    if (end < (isTooMuch ? 0 : within)) throw error
    return end
  }
}

/** Records as they are read: each becomes a submission or is refused. */
export class RecordList {
  readonly arena: Arena
  readonly submissions: Submission[] = []
  readonly places: number[] = []
  readonly starts: number[] = []
  readonly ends: number[] = []
  readonly refused: RefusedRecord[] = []
  readonly #recordsMax: number
  #turnEndsAt = performance.now() + turnMs

  constructor(body: Uint8Array, { recordsMax, charge }: RecordLimits) {
    this.arena = new Arena(body.length, charge)
    this.#recordsMax = recordsMax
  }

  get count(): number {
    return this.submissions.length + this.refused.length
  }

  get isTurnOver(): boolean {
    return performance.now() >= this.#turnEndsAt
  }

  /** Lets others have theirs. */
  async nextTurn(): Promise<void> {
    await nextTurn()
    this.#turnEndsAt = performance.now() + turnMs
  }

  add(start: number, end: number, read: () => Submission): void {
    const i = this.count
    if (i >= this.#recordsMax) throw new TooManyRecords(this.#recordsMax)
    try {
      this.submissions.push(read())
      this.places.push(i)
      this.starts.push(start)
      this.ends.push(end)
    } catch (error) {
      if (!(error instanceof TlogError)) throw error
      const { code, message: detail, pointer } = error
      this.refused.push({ i, code, detail, pointer, start, end })
    }
  }
}

function finishArray(body: Uint8Array, at: number, list: RecordList): RecordList {
  const end = skipSpace(body, at, body.length)
  if (end < body.length) throw new TlogError('malformed-json', `JSON, byte ${end}: text after the array`)
  return list
}

function expect(body: Uint8Array, at: number, byte: number, reason: string): number {
  if (body[at] !== byte) throw new TlogError('malformed-json', `JSON, byte ${at}: ${reason}`)
  return at + 1
}
