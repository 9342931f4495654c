import type { BundleRenewal, BundleStamp } from '../../tlog/bundle.ts'
import { equalBytes } from '../../tlog/bytes.ts'
import { renewalPath, type StampBytes, stampLeafHash } from '../../tlog/stamp-renewal.ts'
import { decodeStampEvidence } from '../anchor/evidence.ts'
import { decodeRenewal, renewalKind } from '../anchor/renewal.ts'
import { nativeSha256 } from '../ops/native-sha256.ts'
import { readAnchorsFrom, type StoredAnchor } from '../store/anchors.ts'
import type { Schema } from '../store/batch.ts'
import type { Query } from '../store/session.ts'

/** Of a stamp: at one in some years more than anybody will see. */
const renewalsMax = 32
/** Those that are looked through for the one that has it; they are in the order of what they cover. */
const lookedMax = 4

/** A stored time stamp with those by which it was stamped again. Throws TlogError or TypeError where it is none. */
export async function stampWithRenewals(
  query: Query,
  schema: Schema,
  { checkpointNumber, evidence }: StoredAnchor,
): Promise<BundleStamp> {
  const { authority, token, chain } = decodeStampEvidence(evidence)
  const stamp = { authority, token, certificates: chain.map(({ raw }) => new Uint8Array(raw)) }
  const renewals: BundleRenewal[] = []
  for (let last: StampBytes & { authority: string } = stamp; renewals.length < renewalsMax; ) {
    const next = await readRenewal(query, schema, last, checkpointNumber)
    if (next === undefined) break
    renewals.push(next)
    last = next
  }
  return { ...stamp, renewals }
}

async function readRenewal(
  query: Query,
  schema: Schema,
  stamp: StampBytes & { readonly authority: string },
  checkpointNumber: number,
): Promise<BundleRenewal | undefined> {
  const leaf = stampLeafHash(stamp, nativeSha256)
  const prefix = renewalKind(stamp.authority)
  for (const found of await readAnchorsFrom(query, schema, prefix, checkpointNumber, lookedMax)) {
    const { authority, token, certificates, leafHashes } = decodeRenewal(found.evidence)
    const index = leafHashes.findIndex((each) => equalBytes(each, leaf))
    if (index === -1) continue
    const path = renewalPath(leafHashes, index, nativeSha256)
    return { authority, token, certificates, index, size: leafHashes.length, path }
  }
  return undefined
}
