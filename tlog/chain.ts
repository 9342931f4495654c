import { encodeUtf8, formatHex } from './bytes.ts'
import type { SequenceNumber } from './coords.ts'
import { digest, nobleSha256, type Sha256 } from './hash.ts'

/**
 * The linear chain (DESIGN section 3), kept for verifiers that read nothing but the table. It is weak: the separator is
 * ambiguous, and time, address and identity are not in it. The leaf (entry.ts) covers them.
 */

/** Previous hash of entry 1. */
export const genesisHash: string = '0'.repeat(64)

/**
 * Chain text of a payload that came from JSON.parse: JSON.stringify of a copy whose members were added in
 * `Object.keys(o).sort()` order. Names that are array indexes therefore come first, by number.
 */
export function chainText(payload: unknown): string {
  return JSON.stringify(withSortedMembers(payload))
}

/** Chain hash of an entry, 64 lower-case hex digits. `previousHash` is that of its predecessor in the same form. */
export function chainHash(
  sequenceNumber: SequenceNumber,
  actorId: string,
  action: string,
  resource: string,
  chainText: string,
  previousHash: string,
  hash: Sha256 = nobleSha256,
): string {
  const text = [sequenceNumber, actorId, action, resource, chainText, previousHash].join('||')
  return formatHex(digest(encodeUtf8(text), hash))
}

function withSortedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedMembers)
  if (typeof value !== 'object' || value === null) return value
  // No prototype: an assignment to `__proto__` makes a member like any other.
  const copy: Record<string, unknown> = Object.create(null)
  const members = value as Record<string, unknown>
  for (const name of Object.keys(members).sort()) copy[name] = withSortedMembers(members[name])
  return copy
}
