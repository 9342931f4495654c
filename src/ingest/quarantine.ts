import { digest } from '../../tlog/hash.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import type { QuarantinedRecord } from '../store/quarantine.ts'
import type { Door, RecordResult } from './door.ts'
import type { RefusedRecord } from './records.ts'

/**
 * Refused records of a request that are kept and answered one by one. A request of 164 bytes can have 65,536 of them,
 * and must not become as many rows. It is not refused for that: shippers drop what they get a 4xx for, the good records
 * in it too. The bytes of further ones are kept together, and the answer says how many they are and where.
 */
export const refusedListedMax = 1_000
/** Bytes of a row that are kept; its hash is of all of them. */
const rawBytesMax = 1_048_576
/** The code of rows that keep several records. */
const togetherCode = 'refused-together'

/** A record that becomes no entry; `sequenceNumber` is that of the entry that is in its way. */
export type Refusal = RefusedRecord & { readonly sequenceNumber?: number }

/** Quarantined records that `results` does not list, and the rows that keep them. */
export type Unlisted = { readonly quarantined: number; readonly quarantineIds: readonly string[] }

export type Kept = { readonly results: readonly RecordResult[]; readonly unlisted: Unlisted }

export type Reason = { readonly code: string; readonly detail: string; readonly pointer: string | undefined }

/** Keeps all of them, the first `listedMax` in rows of their own; resolves when they are durable. */
export async function quarantineRefusals(
  door: Door,
  body: Uint8Array,
  refusals: readonly Refusal[],
  listedMax: number,
  writer: string,
): Promise<Kept> {
  if (refusals.length === 0) return { results: [], unlisted: { quarantined: 0, quarantineIds: [] } }
  const listed = refusals.slice(0, listedMax)
  const rest = refusals.slice(listedMax)
  const rows = listed.map((refusal) => rowOf(door, writer, body.subarray(refusal.start, refusal.end), refusal))
  const together = [...groupsOf(rest)].map((group) => rowOfGroup(door, writer, body, group))
  await door.quarantine([...rows, ...together])
  return {
    results: listed.map((refusal, k) => resultOf(refusal, (rows[k] as QuarantinedRecord).quarantineId)),
    unlisted: { quarantined: rest.length, quarantineIds: together.map(({ quarantineId }) => quarantineId) },
  }
}

/** Keeps a whole body that cannot become an entry, or in which no record could be told from the next. */
export async function quarantineBody(door: Door, body: Uint8Array, reason: Reason, writer: string): Promise<void> {
  await door.quarantine([rowOf(door, writer, body, reason)])
}

/** Runs of records that fit into a row together, each with a line feed behind it. */
function* groupsOf(refusals: readonly Refusal[]): Generator<readonly Refusal[], void> {
  let group: Refusal[] = []
  let bytes = 0
  for (const refusal of refusals) {
    const length = refusal.end - refusal.start + 1
    if (group.length > 0 && bytes + length > rawBytesMax) {
      yield group
      group = []
      bytes = 0
    }
    group.push(refusal)
    bytes += length
  }
  if (group.length > 0) yield group
}

/** Between CBOR it is the integer 10: what is kept together stays a CBOR sequence. */
const lineFeed = Uint8Array.of(0x0a)

function rowOfGroup(door: Door, writer: string, body: Uint8Array, group: readonly Refusal[]): QuarantinedRecord {
  const [first] = group as readonly [Refusal]
  const raw = Buffer.concat(group.flatMap(({ start, end }) => [body.subarray(start, end), lineFeed]))
  const detail = `${group.length} refused records from record ${first.i} of the request on; the first: ${first.detail}`
  return rowOf(door, writer, raw, { code: togetherCode, detail, pointer: undefined })
}

function rowOf(door: Door, writer: string, raw: Uint8Array, { code, detail, pointer }: Reason): QuarantinedRecord {
  return {
    quarantineId: formatUuid(door.makeId()),
    writer,
    sourcePosition: null,
    code,
    detail: storable(detail),
    pointer: pointer === undefined ? null : storable(pointer),
    raw: raw.subarray(0, rawBytesMax),
    rawSha256: digest(raw, door.hash),
  }
}

/** PostgreSQL has no U+0000 in texts; a record that is refused for one must not make its quarantine fail. */
function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed()
}

function resultOf({ i, code, detail, pointer, sequenceNumber }: Refusal, quarantineId: string): RecordResult {
  return {
    i,
    status: 'quarantined',
    code,
    detail,
    ...(pointer === undefined ? {} : { pointer }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    quarantineId,
  }
}
