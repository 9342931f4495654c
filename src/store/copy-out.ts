import pg from 'pg'
import { copyHeader, postgresEpochMicroseconds } from './copy-binary.ts'
import { namedOutage } from './outage.ts'
import type { Row } from './row.ts'
import { pinNames, type Query } from './session.ts'

/**
 * A row as COPY sends it in binary: field i is bytes[starts[i], starts[i] + lengths[i]), its length -1 where it is null.
 * One object for all rows of a statement: what it says holds until the next row.
 */
export type CopiedRow = {
  readonly bytes: Uint8Array
  readonly starts: Int32Array
  readonly lengths: Int32Array
}

/** A connection that reads, and only that: one statement at a time, the others wait for their turn. */
export type ReadSession = {
  readonly query: Query
  /**
   * Runs `copy (…) to stdout (format binary)` and hands each row of so many fields to `take`, which does not keep it.
   * Rejects with what `take` throws, and with the database's error: rows may have come before it. A slow `take` slows
   * the server down, by TCP; memory is that of one row.
   */
  readonly copy: (statement: string, fields: number, take: (row: CopiedRow) => void) => Promise<void>
  readonly close: () => Promise<void>
}

/** How `pg` connects. */
export type ReadConfig = pg.ClientConfig

const connectTimeoutMs = 10_000

/**
 * Opens a connection for long reads. The plan is fixed: partitions are not analysed, and sorting a range that its key has
 * in order writes it to a file. Names without a schema are PostgreSQL's own, whatever a role was told.
 */
export async function openReadSession(config: ReadConfig): Promise<ReadSession> {
  const client = new pg.Client({ ...config, connectionTimeoutMillis: connectTimeoutMs, keepAlive: true })
  client.on('error', () => {})
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work)
    last = done.catch(() => {})
    return done
  }
  const run = async (text: string, values: readonly unknown[] = []): Promise<readonly Row[]> => {
    try {
      return (await client.query(text, [...values])).rows as Row[]
    } catch (error) {
      throw namedOutage(error)
    }
  }
  try {
    await client.connect()
    await run(`${pinNames}; set default_transaction_read_only = on; set enable_sort = off; set enable_bitmapscan = off; set jit = off;
      set application_name = 'dendrolog verify'`)
  } catch (error) {
    void client.end().catch(() => {})
    throw namedOutage(error)
  }
  return {
    query: (text, values) => inTurn(() => run(text, values)),
    copy: (statement, fields, take) =>
      inTurn(
        () =>
          new Promise((resolve, reject) => {
            const fail = (error: unknown): void => reject(namedOutage(error))
            client.query(new CopyOut(statement, fields, take, resolve, fail))
          }),
      ),
    close: () => client.end(),
  }
}

type CopyMessage = { readonly chunk: Buffer }

/** A query of `pg` (its `Submittable`): one message of COPY is one row, the first one has the header before it. */
class CopyOut implements pg.Submittable {
  readonly #statement: string
  readonly #take: (row: CopiedRow) => void
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  readonly #row: { bytes: Uint8Array; readonly starts: Int32Array; readonly lengths: Int32Array }
  #isBegun = false
  #failed: { readonly error: unknown } | undefined

  constructor(
    statement: string,
    fields: number,
    take: (row: CopiedRow) => void,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#statement = statement
    this.#take = take
    this.#resolve = resolve
    this.#reject = reject
    this.#row = { bytes: new Uint8Array(4_096), starts: new Int32Array(fields), lengths: new Int32Array(fields) }
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#statement)
  }

  handleCopyData({ chunk }: CopyMessage): void {
    // What is left after a failure is read and forgotten.
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
  #read(chunk: Buffer, start: number): CopiedRow {
    if (this.#row.bytes.length < chunk.length) this.#row.bytes = new Uint8Array(2 * chunk.length)
    const { bytes, starts, lengths } = this.#row
    bytes.set(chunk)
    const count = chunk.readInt16BE(start)
    if (count !== starts.length) throw new Error(`COPY: a row of ${count} fields, want ${starts.length}`)
    for (let i = 0, at = start + 2; i < count; i++) {
      const length = readInt32(bytes, at)
      starts[i] = at + 4
      lengths[i] = length
      at += 4 + Math.max(0, length)
    }
    return this.#row
  }
}

/** A number for the text of a statement that takes no parameters. */
export function asNumber(n: number): string {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`number of a statement: got ${n}`)
  return String(n)
}

/** A bigint field. Not a safe integer where it is beyond 2^53; NaN where it is null. */
export function readBigintField(row: CopiedRow, column: number): number {
  if (row.lengths[column] !== 8) return Number.NaN
  const at = row.starts[column] as number
  return readInt32(row.bytes, at) * 0x1_0000_0000 + (readInt32(row.bytes, at + 4) >>> 0)
}

/** Microseconds since 1970; not a safe integer for `infinity`, NaN where it is null. */
export function readTimestampField(row: CopiedRow, column: number): number {
  return readBigintField(row, column) + postgresEpochMicroseconds
}

/** A copy of a bytea field; undefined where it is null. */
export function readBytesField(row: CopiedRow, column: number): Uint8Array | undefined {
  const [start, length] = [row.starts[column] as number, row.lengths[column] as number]
  return length < 0 ? undefined : row.bytes.slice(start, start + length)
}

export function isNullField(row: CopiedRow, column: number): boolean {
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
