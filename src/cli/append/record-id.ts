import { createHmac } from 'node:crypto'
import { concatBytes, encodeUtf8 } from '../../../tlog/bytes.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { scan, skipSpace } from '../../../tlog/json-scan.ts'
import { findMember, firstChild, kindOf, none, startOf, Tape } from '../../../tlog/json-tape.ts'
import { formatUuid } from '../../../tlog/uuid.ts'

/**
 * What the ids of one run are made of. They must not change when a killed run is started again: then what was sent
 * twice is found to be one entry. So an id is a function of the run and of the line's number, and nothing else.
 */
export type RunKey = {
  /** 16 random bytes. */
  readonly secret: Uint8Array
  /** Milliseconds since 1970: when the first run began. */
  readonly startedMs: number
}

/** The UUIDv7 of a line: the time of the first run, and 74 bits of HMAC-SHA256(secret, line number). */
export function lineId({ secret, startedMs }: RunKey, line: number): string {
  const id = createHmac('sha256', secret).update(`dendrolog/append/1\0${line}`).digest().subarray(0, 16)
  id.writeUIntBE(startedMs, 0, 6)
  id[6] = 0x70 | ((id[6] as number) & 0x0f)
  id[8] = 0x80 | ((id[8] as number) & 0x3f)
  return formatUuid(id)
}

// A payload of depth 64 in its record. What is deeper is refused by the server, and sent to it as it is.
const tape = new Tape(65)

/**
 * The record with an `id` where it has none. A line that is no JSON object stays as it is: the server says what is
 * wrong with it.
 */
export function withId(record: Uint8Array, makeId: () => string): Uint8Array {
  if (!isObjectWithoutId(record)) return record
  const at = startOf(tape, 0) + 1
  const separator = firstChild(tape, 0) === none ? '' : ','
  return concatBytes(record.subarray(0, at), encodeUtf8(`"id":"${makeId()}"${separator}`), record.subarray(at))
}

function isObjectWithoutId(record: Uint8Array): boolean {
  try {
    const end = scan(record, skipSpace(record, 0, record.length), record.length, tape)
    if (skipSpace(record, end, record.length) < record.length) return false
  } catch (error) {
    if (error instanceof TlogError) return false
    throw error
  }
  return tape.violation === undefined && kindOf(tape, 0) === 'object' && findMember(tape, 0, 'id') === none
}
