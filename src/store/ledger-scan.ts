import pg from 'pg'
import type { Schema } from './batch.ts'
import { copyHeader, postgresEpochMicroseconds } from './copy-binary.ts'
import { namedOutage } from './outage.ts'
import type { Row } from './row.ts'
import type { Query } from './session.ts'

/**
 * The columns of a row as it is scanned. The types are said again in the statement: where a superuser gave a column
 * another type, its values are still read, if they can be.
 */
const columns = [
  ['sequenceNumber', 'sequence_number', 'bigint'],
  ['timestamp', 'timestamp', 'timestamptz'],
  ['actorId', 'actor_id', 'text'],
  ['action', 'action', 'text'],
  ['resource', 'resource', 'text'],
  ['payload', 'payload', 'jsonb'],
  ['previousHash', 'previous_hash', 'text'],
  ['currentHash', 'current_hash', 'text'],
  ['clientIp', 'client_ip', 'text'],
  ['eventId', 'event_id', 'uuid'],
  ['occurredAt', 'occurred_at', 'timestamptz'],
  ['lamport', 'lamport', 'bigint'],
  ['writer', 'writer', 'text'],
  ['sourcePosition', 'source_position', 'text'],
  ['payloadHash', 'payload_hash', 'bytea'],
  ['leafHash', 'leaf_hash', 'bytea'],
] as const

export type ScannedColumn = (typeof columns)[number][0]

/** Place of each column in a row. */
export const columnOf: Readonly<Record<ScannedColumn, number>> = Object.fromEntries(
  columns.map(([name], i) => [name, i]),
) as Record<ScannedColumn, number>

/**
 * A row of the ledger as COPY sends it: field i is bytes[starts[i], starts[i] + lengths[i]), its length -1 where it is
 * null. One object for all rows of a scan: what it says holds until the next row.
 */
export type ScannedRow = {
  readonly bytes: Uint8Array
  readonly starts: Int32Array
  readonly lengths: Int32Array
}

/** A connection for scans: one statement at a time. */
export type ScanSession = {
  readonly query: Query
  /**
   * Reads rows with sequence numbers above `above`, up to `upTo`, in their order, and hands each to `take`, which does
   * not keep it. Rejects with what `take` throws, and with the database's error: rows may have come before it.
   */
  readonly scan: (above: number, upTo: number, take: (row: ScannedRow) => void) => Promise<void>
  readonly close: () => Promise<void>
}

/** How `pg` connects. */
export type ScanConfig = pg.ClientConfig

const connectTimeoutMs = 10_000

/**
 * Opens a connection that reads, and only that. Rows come in binary and by one statement: through a driver's rows it
 * would be 16 values each, and a second conversion of what is hashed. A slow reader slows the server down, by TCP; memory
 * is that of one row. The plan is fixed: partitions are not analysed, and sorting a range that its key has in order
 * writes it to a file.
 */
export async function openScanSession(config: ScanConfig, schema: Schema): Promise<ScanSession> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: connectTimeoutMs, keepAlive: true })
  client.on('error', () => {})
  const run = async (text: string, values: readonly unknown[] = []): Promise<readonly Row[]> => {
    try {
      return (await client.query(text, [...values])).rows as Row[]
    } catch (error) {
      throw namedOutage(error)
    }
  }
  try {
    await client.connect()
    await run(`set default_transaction_read_only = on; set enable_sort = off; set enable_bitmapscan = off; set jit = off;
      set application_name = 'dendrolog verify'`)
  } catch (error) {
    void client.end().catch(() => {})
    throw namedOutage(error)
  }
  return {
    query: run,
    scan: (above, upTo, take) =>
      new Promise((resolve, reject) => {
        const fail = (error: unknown): void => reject(namedOutage(error))
        client.query(new LedgerScan(statementOf(schema, above, upTo), take, resolve, fail))
      }),
    close: () => client.end(),
  }
}

/** COPY takes no parameters; both numbers are safe integers. */
function statementOf(schema: Schema, above: number, upTo: number): string {
  const list = columns.map(([, column, type]) => `${column}::${type}`).join(', ')
  return `copy (
    select ${list}
    from ${schema.evidence}.audit_logs
    where sequence_number > ${asNumber(above)} and sequence_number <= ${asNumber(upTo)}
    order by sequence_number
  ) to stdout (format binary)`
}

function asNumber(n: number): string {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`sequence number: got ${n}`)
  return String(n)
}

type CopyMessage = { readonly chunk: Buffer }

/** A query of `pg` (its `Submittable`): one message of COPY is one row, the first one has the header before it. */
class LedgerScan implements pg.Submittable {
  readonly #text: string
  readonly #take: (row: ScannedRow) => void
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  readonly #row = {
    bytes: new Uint8Array(4_096),
    starts: new Int32Array(columns.length),
    lengths: new Int32Array(columns.length),
  }
  #isBegun = false
  #failed: { readonly error: unknown } | undefined

  constructor(text: string, take: (row: ScannedRow) => void, resolve: () => void, reject: (error: unknown) => void) {
    this.#text = text
    this.#take = take
    this.#resolve = resolve
    this.#reject = reject
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text)
  }

  handleCopyData({ chunk }: CopyMessage): void {
    // What is left of a scan that has failed is read and forgotten.
    if (this.#failed !== undefined) return
    try {
      const start = this.#isBegun ? 0 : copyHeader.length
      this.#isBegun = true
      if (start < chunk.length && chunk.readInt16BE(start) >= 0) this.#take(this.#read(chunk, start))
    } catch (error) {
      this.#failed = { error }
    }
  }

  handleError(error: unknown): void {
    this.#failed ??= { error }
    this.handleReadyForQuery()
  }

  handleReadyForQuery(): void {
    if (this.#failed === undefined) this.#resolve()
    else this.#reject(this.#failed.error)
  }

  handleCommandComplete(): void {}

  /** Copied: the driver reuses its buffer, and a view is made once for all rows. */
  #read(chunk: Buffer, start: number): ScannedRow {
    if (this.#row.bytes.length < chunk.length) this.#row.bytes = new Uint8Array(2 * chunk.length)
    const { bytes, starts, lengths } = this.#row
    bytes.set(chunk)
    const count = chunk.readInt16BE(start)
    if (count !== columns.length) throw new Error(`COPY: a row of ${count} fields, want ${columns.length}`)
    for (let i = 0, at = start + 2; i < count; i++) {
      const length = readInt32(bytes, at)
      starts[i] = at + 4
      lengths[i] = length
      at += 4 + Math.max(0, length)
    }
    return this.#row
  }
}

/** A bigint field. Not a safe integer where it is beyond 2^53; NaN where it is null. */
export function readBigintField(row: ScannedRow, column: number): number {
  if (row.lengths[column] !== 8) return Number.NaN
  const at = row.starts[column] as number
  return readInt32(row.bytes, at) * 0x1_0000_0000 + (readInt32(row.bytes, at + 4) >>> 0)
}

/** Microseconds since 1970; not a safe integer for `infinity`, NaN where it is null. */
export function readTimestampField(row: ScannedRow, column: number): number {
  return readBigintField(row, column) + postgresEpochMicroseconds
}

export function isNullField(row: ScannedRow, column: number): boolean {
  return row.lengths[column] === -1
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}
