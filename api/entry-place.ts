import type { PublishedCheckpoint } from '../src/log/cosigned.ts'
import { DamagedEntry, isGone, isNotSigned } from '../src/store/damaged-entry.ts'
import type { StoredColumns } from '../src/store/entries.ts'
import { equalBytes } from '../tlog/bytes.ts'
import { TlogError } from '../tlog/errors.ts'
import type { Hash } from '../tlog/hash.ts'
import { formatUuid, parseUuid } from '../tlog/uuid.ts'
import { type Kind, malformed, orMalformed, type Parameter, readDecimal, required } from './parameters.ts'
import { Problem } from './problem.ts'
import { publishedUpTo } from './published.ts'
import type { Server } from './server.ts'

/** What a path names an entry by. */
export type Place =
  | { readonly kind: 'number'; readonly sequenceNumber: number }
  | { readonly kind: 'id'; readonly id: string }

const place: Kind<Place> = {
  schema: { type: 'string', pattern: '^([1-9][0-9]{0,15}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$' },
  parse: (text, parameter) => {
    if (!/^[0-9]+$/.test(text)) {
      const reason = 'want a sequence number or a UUID'
      return { kind: 'id', id: orMalformed(parameter, reason, () => formatUuid(parseUuid(text))) }
    }
    const sequenceNumber = readDecimal(text, parameter)
    if (sequenceNumber < 1) throw malformed(parameter, 'counted from 1')
    return { kind: 'number', sequenceNumber }
  },
}
export const pathParameters: { readonly n: Parameter<Place> } = { n: required(place, 'Sequence number or id') }

export type Published = { readonly sequenceNumber: number; readonly checkpoint: PublishedCheckpoint }

// Only what a checkpoint covers is served: above it, rows may be nobody's. What was committed and is not yet signed is
// waited for, so that who was told of an entry finds it.
export async function findPublished(server: Server, place: Place): Promise<Published> {
  const { log } = server
  const sequenceNumber = place.kind === 'number' ? place.sequenceNumber : await server.findSequenceNumber(place.id)
  if (sequenceNumber === undefined) throw new Problem('not-found', 'no entry has this id')
  if (sequenceNumber > log.health.integratedSize) await publishedUpTo(server, sequenceNumber)
  const { integratedSize } = log.health
  if (sequenceNumber > Math.max(integratedSize, log.published.treeSize)) {
    throw new Problem('not-found', `entry ${sequenceNumber}: the log ends at ${integratedSize}`)
  }
  return { sequenceNumber, checkpoint: await log.waitForCheckpoint(sequenceNumber) }
}

/** The table of known ids is not under the tree: what it says of an entry, the entry must say too. */
export function checkPlace(place: Place, { fields }: Pick<StoredColumns, 'fields'>): void {
  if (place.kind === 'number' || formatUuid(fields.eventId) === place.id) return
  throw new TlogError('leaf-mismatch', `known id of entry ${fields.sequenceNumber}: the entry has another one`)
}

export function checkSigned(entry: { readonly sequenceNumber: number; readonly leafHash: Hash }, signed: Hash): void {
  if (!equalBytes(entry.leafHash, signed)) throw new DamagedEntry(entry.sequenceNumber, isNotSigned)
}

export function gone(sequenceNumber: number): DamagedEntry {
  return new DamagedEntry(sequenceNumber, isGone)
}
