import { createHash, X509Certificate } from 'node:crypto'
import { type CborValue, decodeCbor, encodeCbor } from '../../tlog/cbor-value.ts'
import { asHash, type Hash, hashBytes } from '../../tlog/hash.ts'
import { renewalTextOf, type StampBytes, stampLeafHash } from '../../tlog/stamp-renewal.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { validityOf } from './certificate.ts'
import { checkTimeStampToken } from './check-token.ts'
import type { TimeStamp } from './time-stamp-client.ts'

/** A stamp of stamps, as it is stored. */
export type RenewalEvidence = StampBytes & {
  /** Who made it. */
  readonly authority: string
  readonly nonce: Uint8Array
  /** Leaf hashes of what was stamped again, in order. */
  readonly leafHashes: readonly Hash[]
  /** The anchor that is the last of them. */
  readonly lastAnchor: string
}

const version = 1

/** Kind of such an anchor: stamps of `of`, stamped again by `by`; without `by` what the kinds of all begin with. */
export function renewalKind(of: string, by = ''): string {
  return `rfc3161-renewal/${of}/${by}`
}

/** Deterministic CBOR: a map by text. */
export function encodeRenewal(authority: string, { token, nonce, checked }: TimeStamp, covers: Covered): Uint8Array {
  return encodeCbor(
    new Map<string, CborValue>([
      ...Object.entries({ version, authority, token, nonce, lastAnchor: covers.lastAnchor }),
      ['certificates', checked.chain.map(({ raw }) => new Uint8Array(raw))],
      ['hashes', Buffer.concat(covers.leafHashes)],
    ]),
  )
}

export type Covered = Pick<RenewalEvidence, 'leafHashes' | 'lastAnchor'>

/** Throws TlogError or TypeError where it is none. */
export function decodeRenewal(bytes: Uint8Array): RenewalEvidence {
  const value = decodeCbor(bytes)
  if (!(value instanceof Map) || value.get('version') !== version) throw new TypeError('evidence of another version')
  const [authority, token, nonce] = [value.get('authority'), value.get('token'), value.get('nonce')]
  const [hashes, certificates, lastAnchor] = ['hashes', 'certificates', 'lastAnchor'].map((name) => value.get(name))
  const isStamp = typeof authority === 'string' && token instanceof Uint8Array && nonce instanceof Uint8Array
  const isOfStamps = hashes instanceof Uint8Array && Array.isArray(certificates) && typeof lastAnchor === 'string'
  if (!isStamp || !isOfStamps) throw new TypeError('evidence of a renewal: members are missing')
  const leafHashes = Array.from({ length: Math.floor(hashes.length / hashBytes) }, (_, i) =>
    asHash(hashes.subarray(i * hashBytes, (i + 1) * hashBytes), 'leaf hash'),
  )
  return { authority, token, nonce, certificates: certificates as Uint8Array[], leafHashes, lastAnchor }
}

/** A stamp that is stored. */
export type StoredStamp = StampBytes & { readonly anchorId: string; readonly checkpointNumber: number }

/** When the first of its certificates ends, microseconds since 1970. */
export function endOf({ certificates }: StampBytes): number {
  return Math.min(...certificates.map((der) => validityOf(new X509Certificate(der)).until))
}

export type RenewingParts = {
  /** Up to `limit` stamps of the authority that nobody stamped again yet, the oldest first. */
  readonly readNext: (limit: number) => Promise<readonly StoredStamp[]>
  /** Resolves with a stamp that was checked. */
  readonly stamp: (text: Uint8Array) => Promise<TimeStamp>
  readonly store: (stamp: TimeStamp, covered: Covered, checkpointNumber: number) => Promise<void>
  readonly nowUs: () => number
  /** So long before its certificates end a stamp is stamped again. */
  readonly marginUs: number
}

/** What became of a look. `endsUs`: when the first of those that wait ends. */
export type Renewed =
  | { readonly kind: 'nothing-due'; readonly endsUs: number | undefined }
  | { readonly kind: 'renewed'; readonly count: number }
  /** Nobody gives a stamp that ends later. */
  | { readonly kind: 'no-later-end'; readonly endsUs: number }

/** At most so many at a time: their hashes are kept with the stamp. */
export const renewedMax = 1_024

/**
 * Has the oldest stamps that end soon stamped again, all in one. A new stamp counts only if it ends later than the first of
 * them; rejects where the authority gives none at all.
 */
export async function renewOnce({ readNext, stamp, store, nowUs, marginUs }: RenewingParts): Promise<Renewed> {
  const next = await readNext(renewedMax)
  const ends = next.map(endOf)
  const due = ends.findLastIndex((end) => end - nowUs() <= marginUs) + 1
  const [covered, first] = [next.slice(0, due), Math.min(...ends.slice(0, due))]
  const last = covered.at(-1)
  if (last === undefined) return { kind: 'nothing-due', endsUs: ends.length === 0 ? undefined : Math.min(...ends) }
  const leafHashes = covered.map((each) => stampLeafHash(each, nativeSha256))
  const made = await stamp(renewalTextOf(leafHashes, nativeSha256))
  if (made.checked.validUntil <= first) return { kind: 'no-later-end', endsUs: first }
  const checkpointNumber = Math.max(...covered.map((each) => each.checkpointNumber))
  await store(made, { leafHashes, lastAnchor: last.anchorId }, checkpointNumber)
  return { kind: 'renewed', count: covered.length }
}

/** Checks a stored renewal against its own hashes. TokenError, TlogError. */
export function checkRenewal(
  { token, nonce, certificates, leafHashes }: RenewalEvidence,
  roots: readonly X509Certificate[],
): void {
  const others = certificates.map((der) => new X509Certificate(der))
  const sha256 = createHash('sha256').update(renewalTextOf(leafHashes, nativeSha256)).digest()
  checkTimeStampToken(token, { sha256, nonce, roots, others })
}
