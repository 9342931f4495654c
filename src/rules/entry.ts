/** Members of an entry that rules look at, besides its payload; groups are of them. */
export const entryMembers = ['actorId', 'action', 'resource', 'clientIp', 'writer'] as const
export type EntryMember = (typeof entryMembers)[number]

/** What rules are told of an entry, but for its payload. Times are microseconds since 1970. */
export type EntryFacts = Readonly<Record<EntryMember, string>> & {
  readonly sequenceNumber: number
  readonly timestamp: number
  readonly occurredAt: number | null
}

/** An entry as rules look at it. */
export type WatchedEntry = EntryFacts & {
  /** What the payload has at the pointers of the rules, in their order; undefined where it has nothing there. */
  readonly values: readonly unknown[]
}

/** The reference tokens of a JSON pointer (RFC 6901). */
export type Pointer = readonly string[]

/** Of a text of a payload patterns see so many characters. */
export const valueCharactersMax = 4_096

/** An entry of which the payload is at hand; `facts` may have more than rules are told of. */
export function watchedEntry(facts: EntryFacts, payload: unknown, pointers: readonly Pointer[]): WatchedEntry {
  const { sequenceNumber, timestamp, occurredAt, actorId, action, resource, clientIp, writer } = facts
  const values = pointers.map((pointer) => boundedText(valueAt(payload, pointer)))
  return { sequenceNumber, timestamp, occurredAt, actorId, action, resource, clientIp, writer, values }
}

/** Undefined where the text is no pointer, or one that databases read in another way: `/-1`, `/01`. */
export function parsePointer(text: string): Pointer | undefined {
  if (text !== '' && !text.startsWith('/')) return undefined
  if (/~(?![01])/.test(text)) return undefined
  const tokens = text.split('/').slice(1)
  if (tokens.some((token) => /^\s*[-+]?\d+\s*$/.test(token) && !/^(0|[1-9]\d{0,8})$/.test(token))) return undefined
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function valueAt(payload: unknown, pointer: Pointer): unknown {
  let value = payload
  for (const token of pointer) {
    if (typeof value !== 'object' || value === null) return undefined
    const isThere = Array.isArray(value)
      ? /^\d+$/.test(token) && Object.hasOwn(value, token)
      : Object.hasOwn(value, token)
    if (!isThere) return undefined
    value = (value as Readonly<Record<string, unknown>>)[token]
  }
  return value
}

function boundedText(value: unknown): unknown {
  if (typeof value !== 'string' || value.length <= valueCharactersMax) return value
  return [...value.slice(0, 2 * valueCharactersMax)].slice(0, valueCharactersMax).join('')
}
