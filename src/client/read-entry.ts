import { formatBase64, parseHex } from '../../tlog/bytes.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { asHash } from '../../tlog/hash.ts'
import { type CheckedReceipt, checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { parseOccurredAt } from '../../tlog/time.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { openTree } from './checked-tree.ts'
import { CouldNotCheck, judge, unlessUnfit, Violation } from './errors.ts'
import type { LogClient } from './log-client.ts'

/** An entry that is in the tree of the newest checkpoint. */
export type CheckedEntry = {
  readonly proved: CheckedReceipt
  /** The payload that the leaf covers. */
  readonly payload: Readonly<Record<string, unknown>>
  /** A receipt, made of what was read and checked: the same evidence as its submitter has. */
  readonly receipt: string
}

/** An entry whose texts are all escaped, and its payload. */
const entryBytesMax = 8 * 1_048_576

/**
 * Reads an entry by its sequence number or id, with an auditor's token, and proves it: its leaf is made of what the
 * server says, and must be at its place in the tree under the newest checkpoint, by tiles that were checked.
 *
 * Throws `Refused` (404: there is none), `Unavailable`, `CouldNotCheck`, and `Violation` where the log did not sign
 * what the server says, or it is another entry.
 */
export async function readEntry(
  client: LogClient,
  place: number | string,
  signal?: AbortSignal,
): Promise<CheckedEntry> {
  const path = `v1/entries/${encodeURIComponent(place)}`
  const { bytes } = await client.getAsReader(path, entryBytesMax, signal)
  const entry = unlessUnfit(() => parseReceipt(bytes)) as Members
  const fields = unlessUnfit(() => fieldsOf(entry))
  checkPlace(place, fields, entry)
  const { receipt, note } = await proveEntry(client, entry, fields, signal)
  const proved = await checkProved(client, receipt, note)
  return { proved, payload: entry.payload as CheckedEntry['payload'], receipt: JSON.stringify(receipt) }
}

type Members = Readonly<Record<string, unknown>>

async function proveEntry(
  client: LogClient,
  entry: Members,
  fields: LeafFields,
  signal: AbortSignal | undefined,
): Promise<{ readonly receipt: unknown; readonly note: string }> {
  const { checkpoint, note } = await client.readSignedCheckpoint(signal)
  const leafIndex = fields.sequenceNumber - 1
  if (checkpoint.size <= leafIndex) {
    throw new CouldNotCheck('behind', `entry ${fields.sequenceNumber}: the newest checkpoint has ${checkpoint.size}`)
  }
  const tree = await openTree(client.reader(signal), checkpoint)
  const hashes = (await tree.proveInclusion(leafIndex)).map(formatBase64)
  const inclusionProof = { leafIndex, treeSize: checkpoint.size, hashes }
  const leaf = formatBase64(unlessUnfit(() => encodeLeaf(fields)))
  return { receipt: { entry, leaf, inclusionProof, checkpoint: note }, note }
}

async function checkProved(client: LogClient, receipt: unknown, note: string): Promise<CheckedReceipt> {
  try {
    return checkReceipt(receipt, await client.verifierOf(new TextEncoder().encode(note)))
  } catch (error) {
    throw judge(error, receipt)
  }
}

function checkPlace(place: number | string, { sequenceNumber, eventId }: LeafFields, entry: Members): void {
  const got = typeof place === 'number' || /^\d+$/.test(place) ? String(sequenceNumber) : formatUuid(eventId)
  if (got === String(place).toLowerCase()) return
  throw new Violation('other-event', `asked for entry ${place}, the answer is entry ${got}`, entry)
}

/** What the leaf of an entry would record. `checkReceipt` compares each member with it: a value out of shape is found there. */
function fieldsOf(entry: Members): LeafFields {
  const text = (name: string): string => member(entry, name, 'string')
  const orNull = <T>(name: string, read: (name: string) => T): T | null => (entry[name] === null ? null : read(name))
  const integer = (name: string): number => checkedInteger(name, member(entry, name, 'number'))
  return {
    sequenceNumber: integer('sequenceNumber'),
    eventId: parseUuid(text('id')),
    timestamp: parseOccurredAt(text('timestamp')),
    occurredAt: orNull('occurredAt', (name) => parseOccurredAt(text(name))),
    lamport: orNull('lamport', integer),
    actorId: text('actorId'),
    action: text('action'),
    resource: text('resource'),
    clientIp: text('clientIp'),
    writer: text('writer'),
    sourcePosition: orNull('sourcePosition', text),
    payloadHash: asHash(parseHex(text('payloadHash'))),
    currentHash: asHash(parseHex(text('currentHash'))),
  }
}

type Types = { readonly string: string; readonly number: number }

function member<T extends keyof Types>(entry: Members, name: string, type: T): Types[T] {
  const value = Object(entry)[name] as unknown
  if (typeof value === type) return value as Types[T]
  throw new CouldNotCheck('not-understood', `the answer is no entry: its ${name} is no ${type}`)
}

function checkedInteger(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= (name === 'sequenceNumber' ? 1 : 0)) return value
  throw new CouldNotCheck('not-understood', `the answer is no entry: its ${name} is ${value}`)
}
