import { encodeUtf8 } from '../../tlog/bytes.ts'
import { jcs } from '../../tlog/jcs.ts'
import { formatUuid, parseUuidV7, uuidBytes } from '../../tlog/uuid.ts'

/** What a client submits (README, "Submitting"). Members that are absent are absent: `undefined` and `null` are refused. */
export type LogEvent = {
  /** UUIDv7; made before the first attempt where absent. */
  readonly id?: string
  /** 1 to 255 characters. */
  readonly actorId: string
  /** 1 to 100 characters; `dendrolog.` is reserved. */
  readonly action: string
  /** 1 to 255 characters. */
  readonly resource: string
  /** Plain data as JSON has it; 1 MiB of canonical JSON, 64 levels. */
  readonly payload: Readonly<Record<string, unknown>>
  /** IPv4 or IPv6, no zone. */
  readonly clientIp?: string
  /** RFC 3339, upper-case T and Z, at most 6 fractional digits. */
  readonly occurredAt?: string
  /** 0 to 2^53-1. */
  readonly lamport?: number
}

/** An event that can be sent again without becoming a second entry. */
export type IdentifiedEvent = LogEvent & { readonly id: string }

/** A new UUIDv7 (RFC 9562 5.7): 48 bits of time in milliseconds, 74 random bits. */
export function newEventId(unixMs: number = Date.now()): string {
  const id = crypto.getRandomValues(new Uint8Array(uuidBytes))
  for (let i = 5, rest = unixMs; i >= 0; i--, rest = Math.floor(rest / 256)) id[i] = rest % 256
  id[6] = 0x70 + ((id[6] as number) % 16)
  id[8] = 0x80 + ((id[8] as number) % 64)
  return formatUuid(id)
}

/**
 * The event with an id: its own, in lower case, or a new one. Whoever must survive a crash between two attempts keeps
 * this, not the event. Throws `malformed-uuid` where the id is no UUIDv7.
 */
export function withEventId(event: LogEvent): IdentifiedEvent {
  return { ...event, id: event.id === undefined ? newEventId() : formatUuid(parseUuidV7(event.id)) }
}

/** An event as it is sent, the same bytes in each attempt whatever becomes of the object meanwhile. */
export type SentEvent = { readonly event: IdentifiedEvent; readonly text: string; readonly bytes: number }

/** Throws `json-not-strict` for what JSON would change silently: `undefined`, NaN, dates, lone surrogates. */
export function writeEvent(event: IdentifiedEvent): SentEvent {
  const text = jcs(event)
  return { event: JSON.parse(text) as IdentifiedEvent, text, bytes: encodeUtf8(text).length }
}
