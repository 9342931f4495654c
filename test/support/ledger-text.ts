/** DESIGN section 3 once more, from rows as node-postgres hands them over: what `checkLog` compares the ledger with. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** A row of audit_logs; int8 is text, times are microseconds since 1970. */
export type LedgerRow = {
  readonly id: string
  readonly sequence_number: string
  readonly actor_id: string
  readonly action: string
  readonly resource: string
  readonly payload: Json
  readonly previous_hash: string
  readonly current_hash: string
  readonly client_ip: string
  readonly event_id: string
  readonly lamport: string | null
  readonly writer: string
  readonly source_position: string | null
  readonly payload_hash: Buffer
  readonly leaf_hash: Buffer
  readonly timestamp_us: string
  readonly occurred_at_us: string | null
}

/** JSON.stringify of the payload with all members added in sorted order. */
export function chainTextOf(payload: Json): string {
  return JSON.stringify(sorted(payload))
}

/** RFC 8785. */
export function jcsOf(value: Json): string {
  if (isArray(value)) return `[${value.map(jcsOf).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.keys(value).sort()
  return `{${members.map((name) => `${JSON.stringify(name)}:${jcsOf(value[name] ?? null)}`).join()}}`
}

/** Deterministic CBOR, an array of 14. */
export function encodeLeafOf(row: LedgerRow): Buffer {
  return Buffer.concat([
    head(4, 14n),
    head(0, 1n),
    head(0, BigInt(row.sequence_number)),
    bytes(Buffer.from(row.event_id.replaceAll('-', ''), 'hex')),
    head(0, BigInt(row.timestamp_us)),
    integerOrNull(row.occurred_at_us),
    integerOrNull(row.lamport),
    ...[row.actor_id, row.action, row.resource, row.client_ip, row.writer].map(text),
    row.source_position === null ? Buffer.of(0xf6) : text(row.source_position),
    bytes(row.payload_hash),
    bytes(Buffer.from(row.current_hash, 'hex')),
  ])
}

function sorted(value: Json): Json {
  if (isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.create(null) as Record<string, Json>
  for (const name of Object.keys(value).sort()) copy[name] = sorted(value[name] ?? null)
  return copy
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

/** RFC 8949 3: the shortest head of a major type. */
function head(major: number, n: bigint): Buffer {
  const type = major << 5
  if (n < 24n) return Buffer.of(type | Number(n))
  if (n < 0x100n) return Buffer.of(type | 24, Number(n))
  const wide = Buffer.alloc(8)
  wide.writeBigUInt64BE(n)
  if (n < 0x10000n) return Buffer.concat([Buffer.of(type | 25), wide.subarray(6)])
  if (n < 0x100000000n) return Buffer.concat([Buffer.of(type | 26), wide.subarray(4)])
  return Buffer.concat([Buffer.of(type | 27), wide])
}

function integerOrNull(n: string | null): Buffer {
  return n === null ? Buffer.of(0xf6) : head(0, BigInt(n))
}

function bytes(value: Uint8Array): Buffer {
  return Buffer.concat([head(2, BigInt(value.length)), value])
}

function text(value: string): Buffer {
  const utf8 = Buffer.from(value)
  return Buffer.concat([head(3, BigInt(utf8.length)), utf8])
}
