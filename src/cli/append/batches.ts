import { skipSpace } from '../../../tlog/json-scan.ts'
import type { Line, Place } from './lines.ts'
import { lineId, type RunKey, withId } from './record-id.ts'

/** Records that are sent together. */
export type Batch = {
  /** NDJSON, a record a part, each with its newline. */
  readonly records: readonly Uint8Array[]
  /** Of each record. */
  readonly lines: readonly number[]
  /** Numbers of lines that are too long to be sent. */
  readonly tooLong: readonly number[]
  /** The input up to here is done when the batch is. */
  readonly end: Place
}

export type BatchLimits = { readonly records: number; readonly bytes: number }

const newline = Uint8Array.of(0x0a)

/** Gathers lines into batches and gives an id to each record that has none. Blank lines are passed over. */
export async function* cutBatches(
  lines: AsyncIterable<Line>,
  run: RunKey,
  limits: BatchLimits,
): AsyncGenerator<Batch, void> {
  let open = new OpenBatch()
  for await (const line of lines) {
    const record = line.bytes === undefined ? undefined : readRecord(line.bytes, line.number, run)
    if (record !== undefined && !open.hasRoom(record, limits)) {
      yield open.batch
      open = new OpenBatch()
    }
    open.add(line, record)
    // Lines without records must not gather without end either.
    if (open.lineCount >= 10 * limits.records) {
      yield open.batch
      open = new OpenBatch()
    }
  }
  if (open.lineCount > 0) yield open.batch
}

/** Undefined for a blank line. */
function readRecord(bytes: Uint8Array, line: number, run: RunKey): Uint8Array | undefined {
  if (skipSpace(bytes, 0, bytes.length) === bytes.length) return undefined
  return Buffer.concat([withId(bytes, () => lineId(run, line)), newline])
}

class OpenBatch {
  readonly #records: Uint8Array[] = []
  readonly #lines: number[] = []
  readonly #tooLong: number[] = []
  #bytes = 0
  #end: Place = { offset: 0, line: 0 }
  lineCount = 0

  get batch(): Batch {
    return { records: this.#records, lines: this.#lines, tooLong: this.#tooLong, end: this.#end }
  }

  /** The first record has room whatever it is: the server decides. */
  hasRoom(record: Uint8Array, limits: BatchLimits): boolean {
    if (this.#records.length === 0) return true
    return this.#records.length < limits.records && this.#bytes + record.length <= limits.bytes
  }

  add(line: Line, record: Uint8Array | undefined): void {
    if (record !== undefined) {
      this.#records.push(record)
      this.#lines.push(line.number)
      this.#bytes += record.length
    }
    if (line.bytes === undefined) this.#tooLong.push(line.number)
    this.#end = { offset: line.end, line: line.number }
    this.lineCount += 1
  }
}
