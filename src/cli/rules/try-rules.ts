import { createReadStream } from 'node:fs'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { TlogError } from '../../../tlog/errors.ts'
import { parseStrict } from '../../../tlog/json-scan.ts'
import { parseOccurredAt } from '../../../tlog/time.ts'
import { type EntryFacts, watchedEntry } from '../../rules/entry.ts'
import type { RuleMatch, Rules } from '../../rules/open-rules.ts'
import { readLines } from '../append/lines.ts'

const lineBytesMax = 4_194_304

/** Shows what rules say of events, a line each; how many there are. Throws with the line of what is no event. */
export async function tryRules(
  rules: Rules,
  file: string,
  signal: AbortSignal,
  show: (match: RuleMatch) => void,
): Promise<number> {
  let events = 0
  for await (const { number, bytes } of readLines(unpacked(file), { offset: 0, line: 0 }, lineBytesMax)) {
    signal.throwIfAborted()
    if (bytes?.length === 0) continue
    if (bytes === undefined) throw new Error(`${file}: line ${number} has more than ${lineBytesMax} bytes`)
    const event = eventOf(file, number, bytes)
    rules.take([watchedEntry(event.facts, event.payload, rules.pointers)]).forEach(show)
    events++
  }
  return events
}

async function* unpacked(file: string): AsyncGenerator<Uint8Array, void> {
  const source: AsyncIterable<Buffer> = file === '-' ? process.stdin : createReadStream(file)
  const chunks = source[Symbol.asyncIterator]()
  const first = await chunks.next()
  if (first.done === true) return
  const all = async function* (): AsyncGenerator<Buffer, void> {
    yield first.value
    yield* { [Symbol.asyncIterator]: () => chunks }
  }
  const isPacked = first.value[0] === 0x1f && first.value[1] === 0x8b
  // An error ends the last of them, which tells it.
  yield* isPacked ? pipeline(Readable.from(all()), createGunzip(), () => {}) : all()
}

type Event = { readonly facts: EntryFacts; readonly payload: unknown }

function eventOf(file: string, line: number, bytes: Uint8Array): Event {
  const refuse = (reason: string): never => {
    throw new Error(`${file}: line ${line}: ${reason}`)
  }
  const event = readObject(bytes, refuse)
  const text = (name: string, fallback?: string): string => {
    const value = event[name] ?? fallback
    return typeof value === 'string' ? value : refuse(`want a text as ${name}`)
  }
  const time = (name: string): number | null => {
    const value = event[name] ?? null
    return value === null ? null : (readTime(text(name)) ?? refuse(`want an RFC 3339 time as ${name}`))
  }
  const occurredAt = time('occurredAt')
  const facts = {
    ...{ sequenceNumber: line, timestamp: time('timestamp') ?? occurredAt ?? 0, occurredAt },
    ...{ actorId: text('actorId'), action: text('action'), resource: text('resource') },
    ...{ clientIp: text('clientIp', '::'), writer: text('writer', 'token:writer') },
  }
  return { facts, payload: event.payload }
}

function readObject(bytes: Uint8Array, refuse: (reason: string) => never): Readonly<Record<string, unknown>> {
  try {
    const value = parseStrict(bytes)
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    return refuse(error.message)
  }
  return refuse('want a JSON object')
}

function readTime(text: string): number | undefined {
  try {
    return parseOccurredAt(text)
  } catch (error) {
    if (error instanceof TlogError) return undefined
    throw error
  }
}
