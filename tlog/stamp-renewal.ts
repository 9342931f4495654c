import { concatBytes, encodeUtf8, formatBase64 } from './bytes.ts'
import { encodeCbor } from './cbor-value.ts'
import { emptyRange, extendRange, rangeRoot } from './compact-range.ts'
import { asLeafIndex, asTreeSize } from './coords.ts'
import { type Hash, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { planInclusionProof } from './proof.ts'
import { rootFromInclusion } from './verify.ts'

// Time stamps are stamped again before their certificates end: whoever breaks an old key later can forge old stamps, but
// not ones that others stamped before. Many at once: the leaves of a tree (RFC 6962), whose root is stamped.

/** A time stamp: RFC 3161 token and X.509 certificates, DER. */
export type StampBytes = { readonly token: Uint8Array; readonly certificates: readonly Uint8Array[] }

/** Where a stamp stands among those that were stamped again together. */
export type RenewalPlace = { readonly index: number; readonly size: number; readonly path: readonly Hash[] }

/** Hash of a stamp as a leaf of such a tree: of the CBOR array of its token and certificates. */
export function stampLeafHash({ token, certificates }: StampBytes, sha256: Sha256 = nobleSha256): Hash {
  return leafHash(encodeCbor([token, certificates]), sha256)
}

/** What is stamped of a tree of stamps. */
export function renewalText(size: number, root: Hash): Uint8Array {
  return encodeUtf8(`dendrolog/stamp-renewal/1\n${size}\n${formatBase64(root)}\n`)
}

/** The same of leaf hashes. */
export function renewalTextOf(leafHashes: readonly Hash[], sha256: Sha256 = nobleSha256): Uint8Array {
  return renewalText(leafHashes.length, rootOf(leafHashes, sha256))
}

/** The same of one stamp and its place. `inclusion-mismatch`, `malformed-proof` where it can have none such. */
export function renewalTextAt(
  leaf: Hash,
  { index, size, path }: RenewalPlace,
  sha256: Sha256 = nobleSha256,
): Uint8Array {
  return renewalText(size, rootFromInclusion(asLeafIndex(index), asTreeSize(size), leaf, path, sha256))
}

/** Audit path (RFC 9162 2.1.3.1) of one of them. */
export function renewalPath(leafHashes: readonly Hash[], index: number, sha256: Sha256 = nobleSha256): readonly Hash[] {
  const plan = planInclusionProof(asLeafIndex(index), asTreeSize(leafHashes.length))
  return plan.map(({ lo, hi }) => rootOf(leafHashes.slice(lo, hi), sha256))
}

function rootOf(leafHashes: readonly Hash[], sha256: Sha256): Hash {
  return rangeRoot(
    extendRange(emptyRange, concatBytes(...leafHashes), () => {}, sha256),
    sha256,
  )
}
