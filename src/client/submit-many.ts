import { CouldNotCheck, Refused } from './errors.ts'
import { type IdentifiedEvent, type LogEvent, type SentEvent, withEventId, writeEvent } from './event.ts'
import { textOf } from './http.ts'
import type { LogClient } from './log-client.ts'
import { settle } from './submit.ts'

/** What became of an event of a batch. */
export type Outcome =
  | {
      readonly kind: 'logged'
      readonly event: IdentifiedEvent
      readonly sequenceNumber: number
      /** False where it was logged before, by an attempt whose answer was lost for example. */
      readonly isNew: boolean
    }
  | {
      readonly kind: 'refused'
      readonly event: IdentifiedEvent
      /** The server's, as those of `Refused`. It keeps the event in quarantine. */
      readonly code: string
      readonly detail: string
      readonly pointer: string | undefined
    }

export type BatchOptions = {
  /** Events of a request, 1 to 1,000: of so many the server lists each that it refuses. Default 1,000. */
  readonly eventsMax?: number
  /** Bytes of a request; an event that has more goes alone. Default 4 MiB. */
  readonly bytesMax?: number
  readonly signal?: AbortSignal
}

const listedMax = 1_000
const bytesMaxDefault = 4 * 1_048_576
/** A thousand refusals of some hundred bytes. */
const answerBytesMax = 4 * 1_048_576

/**
 * Logs events in batches, in their order, and tells what became of each. Every batch is tried again with the same ids.
 * An answer is about durability, not proof: `submit` of an event that has its id gives its receipt.
 *
 * Throws as `submit`; `Unavailable` has the batch that was under way in `unsettled`, what comes after it was not taken.
 */
export async function* submitMany(
  client: LogClient,
  events: Iterable<LogEvent> | AsyncIterable<LogEvent>,
  { eventsMax = listedMax, bytesMax = bytesMaxDefault, signal }: BatchOptions = {},
): AsyncGenerator<Outcome, void> {
  const limits = { eventsMax: Math.min(eventsMax, listedMax), bytesMax }
  for await (const batch of batchesOf(events, limits)) yield* await sendBatch(client, batch, signal)
}

async function* batchesOf(
  events: Iterable<LogEvent> | AsyncIterable<LogEvent>,
  { eventsMax, bytesMax }: { readonly eventsMax: number; readonly bytesMax: number },
): AsyncGenerator<readonly SentEvent[], void> {
  let batch: SentEvent[] = []
  let bytes = 0
  for await (const event of events) {
    const sent = writeEvent(withEventId(event))
    if (batch.length > 0 && (batch.length >= eventsMax || bytes + sent.bytes > bytesMax)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(sent)
    bytes += sent.bytes + 1
  }
  if (batch.length > 0) yield batch
}

async function sendBatch(
  client: LogClient,
  batch: readonly SentEvent[],
  signal: AbortSignal | undefined,
): Promise<Outcome[]> {
  const body = batch.map(({ text }) => `${text}\n`).join('')
  const request = { path: 'v1/entries', contentType: 'application/x-ndjson', body, bytesMax: answerBytesMax }
  const events = batch.map(({ event }) => event)
  try {
    return outcomesOf(events, textOf(await settle(events, () => client.post(request, signal))))
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 413) throw error
    return sendHalves(client, batch, error, signal)
  }
}

/** The server takes less at once than we thought: halves, until one event alone is too much. */
async function sendHalves(
  client: LogClient,
  batch: readonly SentEvent[],
  { code, detail, pointer }: Refused,
  signal: AbortSignal | undefined,
): Promise<Outcome[]> {
  const [only] = batch
  if (batch.length === 1 && only !== undefined) return [{ kind: 'refused', event: only.event, code, detail, pointer }]
  const middle = Math.ceil(batch.length / 2)
  const first = await sendBatch(client, batch.slice(0, middle), signal)
  return [...first, ...(await sendBatch(client, batch.slice(middle), signal))]
}

/** An answer must account for each event, once, or nothing is known of any. */
function outcomesOf(events: readonly IdentifiedEvent[], text: string | undefined): Outcome[] {
  const { accepted, firstIndex, results } = parseAnswer(text)
  const listed = new Map(results.map((result) => [result.i, result]))
  const isWhole = listed.size === results.length && accepted + results.length === events.length
  if (!isWhole || results.some(({ i }) => i >= events.length)) throw notUnderstood()
  let next = firstIndex + 1
  return events.map((event, i) => {
    const result = listed.get(i)
    return result === undefined
      ? { kind: 'logged', event, sequenceNumber: next++, isNew: true }
      : outcomeOf(event, result)
  })
}

type Members = Readonly<Record<string, unknown>>
type Listed = Members & { readonly i: number }
type Answer = {
  readonly accepted: number
  /** Of the first accepted one; says nothing where there is none. */
  readonly firstIndex: number
  /** Those that were not accepted. */
  readonly results: readonly Listed[]
}

function outcomeOf(event: IdentifiedEvent, { status, sequenceNumber, code, detail, pointer }: Members): Outcome {
  if (status === 'duplicate') {
    if (!isCount(sequenceNumber) || sequenceNumber === 0) throw notUnderstood()
    return { kind: 'logged', event, sequenceNumber, isNew: false }
  }
  if (typeof code !== 'string' || typeof detail !== 'string') throw notUnderstood()
  return { kind: 'refused', event, code, detail, pointer: typeof pointer === 'string' ? pointer : undefined }
}

function parseAnswer(text: string | undefined): Answer {
  const answer = Object(parseJson(text ?? '')) as Members
  const { accepted, firstIndex, results } = answer
  const isListed = Array.isArray(results) && results.every((result) => isCount(Object(result).i))
  if (!isCount(accepted) || !isListed || !isRange(answer, accepted)) throw notUnderstood()
  const listed: readonly Listed[] = results
  const countOf = (wanted: string): number => listed.filter(({ status }) => status === wanted).length
  const [duplicates, quarantined] = [countOf('duplicate'), countOf('quarantined')]
  const isCounted = answer.duplicates === duplicates && answer.quarantined === quarantined
  if (!isCounted || duplicates + quarantined !== listed.length) throw notUnderstood()
  return { accepted, firstIndex: Number(firstIndex), results: listed }
}

/** Whether so many entries are from the first to the last index; null is that of none. */
function isRange({ firstIndex, lastIndex }: Members, accepted: number): boolean {
  if (accepted === 0) return firstIndex === null && lastIndex === null
  // The sequence number is one more.
  const isSafe = isCount(firstIndex) && isCount(lastIndex) && lastIndex < Number.MAX_SAFE_INTEGER
  return isSafe && lastIndex - firstIndex + 1 === accepted
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw notUnderstood(cause)
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function notUnderstood(cause?: unknown): CouldNotCheck {
  return new CouldNotCheck('not-understood', 'the answer to a batch does not account for its events', { cause })
}
