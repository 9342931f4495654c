import { encodeUtf8, equalBytes } from '../../tlog/bytes.ts'
import type { LeafFields } from '../../tlog/entry.ts'
import { digest } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { type CheckedReceipt, checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { parseOccurredAt } from '../../tlog/time.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { CouldNotCheck, judge, Unavailable, Violation } from './errors.ts'
import { type IdentifiedEvent, type LogEvent, type SentEvent, withEventId, writeEvent } from './event.ts'
import { textOf } from './http.ts'
import type { LogClient } from './log-client.ts'

/** An event that is logged, and what proves it. */
export type Logged = {
  /** As it was sent. */
  readonly event: IdentifiedEvent
  /** The JSON text of the receipt: whoever has it and the log's key can check it without the server. */
  readonly receipt: string
  /** What the receipt proves. */
  readonly proved: CheckedReceipt
  /** False where this or another attempt had logged it before. */
  readonly isNew: boolean
}

/** An answer has the payload (1 MiB, 6 MiB where all of it is escaped), the leaf, a proof and a checkpoint. */
const receiptBytesMax = 8 * 1_048_576

/**
 * Logs one event and returns when it is under a signed checkpoint. Tried again as often as the client allows, with the
 * same id and bytes: it becomes one entry. The receipt is checked before it is returned: the log's signature, the
 * inclusion, the chain hash, and that it is of this event.
 *
 * Throws `Refused` (400 and 409 are about the event), `Unavailable` with the event in `unsettled`, `CouldNotCheck` and
 * `Violation` where the event is logged as far as the server says; TlogErrors for an event that JSON cannot say.
 */
export async function submit(client: LogClient, event: LogEvent, signal?: AbortSignal): Promise<Logged> {
  return submitText(client, writeEvent(withEventId(event)), signal)
}

async function submitText(client: LogClient, sent: SentEvent, signal?: AbortSignal): Promise<Logged> {
  const request = { path: 'v1/entries', contentType: 'application/json', body: sent.text, bytesMax: receiptBytesMax }
  const answer = await settle([sent.event], () => client.post(request, signal))
  const receipt = textOf(answer)
  if (receipt === undefined) throw new CouldNotCheck('not-understood', 'the answer to an event is not UTF-8')
  const isNew = answer.status === 201
  const proved = await checkAnswer(client, answer.bytes, receipt)
  checkSameEvent(sent.event, proved.fields, isNew, receipt)
  return { event: sent.event, receipt, proved, isNew }
}

/** Runs what sends these events; where nobody answered, the error says which they are. */
export async function settle<T>(events: readonly IdentifiedEvent[], run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    throw new Unavailable(error.reason, error.attempts, { cause: error, unsettled: events })
  }
}

async function checkAnswer(client: LogClient, bytes: Uint8Array, text: string): Promise<CheckedReceipt> {
  try {
    const receipt = parseReceipt(bytes)
    return checkReceipt(receipt, await client.verifierOf(noteOf(receipt)))
  } catch (error) {
    throw judge(error, text)
  }
}

/** The checkpoint of what may be a receipt; `checkReceipt` says what is wrong where it is none. */
function noteOf(receipt: unknown): Uint8Array {
  const { checkpoint } = Object(receipt) as { readonly checkpoint?: unknown }
  if (typeof checkpoint === 'string') return encodeUtf8(checkpoint)
  throw new CouldNotCheck('not-understood', 'the answer to an event has no checkpoint')
}

/**
 * Throws `other-event` unless the entry is the one that was sent: id and content (DESIGN section 3). The address is
 * compared only for a new entry, for of a repeated event the first one stands.
 */
export function checkSameEvent(event: IdentifiedEvent, fields: LeafFields, isNew: boolean, evidence: unknown): void {
  const differ = differences(event, fields, isNew)
  if (differ.length === 0) return
  throw new Violation('other-event', `the entry is not the event ${event.id}: other ${differ.join(', ')}`, evidence)
}

function differences(event: IdentifiedEvent, fields: LeafFields, isNew: boolean): string[] {
  const occurredAt = event.occurredAt === undefined ? null : parseOccurredAt(event.occurredAt)
  const isSame: Readonly<Record<string, boolean>> = {
    id: event.id === formatUuid(fields.eventId),
    actorId: event.actorId === fields.actorId,
    action: event.action === fields.action,
    resource: event.resource === fields.resource,
    payload: equalBytes(digest(encodeUtf8(jcs(event.payload))), fields.payloadHash),
    occurredAt: occurredAt === fields.occurredAt,
    lamport: (event.lamport ?? null) === fields.lamport,
    clientIp: !isNew || event.clientIp === undefined || event.clientIp === fields.clientIp,
  }
  return Object.keys(isSame).filter((name) => isSame[name] === false)
}
