import { TlogError } from '../../tlog/errors.ts'
import { Arena } from '../log/arena.ts'
import type { Submission } from '../log/submission.ts'
import { CborToJson } from './cbor.ts'
import { checkRecordBytes, type RecordContext, type RecordReader } from './record.ts'
import { type RecordLimits, RecordList, type Records } from './records.ts'

const cbor = new CborToJson()

/** Whether a body begins like an array: many records, not one. */
export function isCborArray(body: Uint8Array): boolean {
  return (body[0] ?? 0) >> 5 === 4
}

/** A body that is one record. Throws `malformed-cbor`, and what `RecordReader.read` throws. */
export function readCborRecord(
  reader: RecordReader,
  body: Uint8Array,
  charge: (bytes: number) => void,
  context: RecordContext,
): Submission {
  checkRecordBytes(body.length)
  const end = cbor.read(body, 0, body.length)
  if (end < body.length) throw malformed(end, 'bytes after the value')
  const json = cbor.json()
  return reader.read(json, 0, json.length, new Arena(body.length, charge), context)
}

/** An array of records. What is not CBOR at all throws: behind it nobody can tell where the next record begins. */
export async function readCborArray(
  reader: RecordReader,
  body: Uint8Array,
  limits: RecordLimits,
  context: RecordContext,
): Promise<Records> {
  const { at, count } = readArrayHead(body)
  const list = new RecordList(body, limits)
  let start = at
  for (; count === undefined ? body[start] !== breakByte : list.count < count; ) {
    start = addItem(reader, body, start, list, context)
    if (list.isTurnOver) await list.nextTurn()
  }
  const end = count === undefined ? start + 1 : start
  if (end < body.length) throw malformed(end, 'bytes after the array')
  return list
}

/** A CBOR sequence (RFC 8742) of records. */
export async function readCborSequence(
  reader: RecordReader,
  body: Uint8Array,
  limits: RecordLimits,
  context: RecordContext,
): Promise<Records> {
  const list = new RecordList(body, limits)
  for (let start = 0; start < body.length; ) {
    start = addItem(reader, body, start, list, context)
    if (list.isTurnOver) await list.nextTurn()
  }
  return list
}

/** Returns the position behind the record. */
function addItem(
  reader: RecordReader,
  body: Uint8Array,
  start: number,
  list: RecordList,
  context: RecordContext,
): number {
  const end = cbor.read(body, start, body.length)
  list.add(start, end, () => {
    checkRecordBytes(end - start)
    const json = cbor.json()
    return reader.read(json, 0, json.length, list.arena, context)
  })
  return end
}

const breakByte = 0xff

/** How many records, undefined where a break ends them, and where the first one begins. */
function readArrayHead(body: Uint8Array): { readonly at: number; readonly count: number | undefined } {
  const info = (body[0] as number) & 0x1f
  if (info < 24) return { at: 1, count: info }
  if (info === 31) return { at: 1, count: undefined }
  const at = 1 + 2 ** (info - 24)
  if (info > 27 || body.length < at) throw malformed(0, 'no head of an array')
  return { at, count: body.subarray(1, at).reduce((n, byte) => n * 256 + byte, 0) }
}

function malformed(at: number, reason: string): TlogError {
  return new TlogError('malformed-cbor', `CBOR, byte ${at}: ${reason}`)
}
