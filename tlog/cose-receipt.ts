import { type CborMap, CborTag, type CborValue, decodeCbor, encodeCbor } from './cbor-value.ts'
import { asLeafIndex, asTreeSize, type LeafIndex, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { asHash, type Hash, type Sha256 } from './hash.ts'
import { rootFromConsistency, rootFromInclusion } from './verify.ts'

// COSE Receipts (RFC 9942) for the tree of RFC 9162 with SHA-256: a COSE_Sign1 (RFC 9052) over the root of a tree, which
// is not in it, and beside the signature proofs that lead to that root.

/** Algorithms (RFC 9053, RFC 9864) of the keys that are taken. */
export const coseAlgorithms: { readonly es256: -7; readonly esp256: -9; readonly edDsa: -8; readonly ed25519: -19 } = {
  ...{ es256: -7, esp256: -9 },
  ...{ edDsa: -8, ed25519: -19 },
}

/** A key that receipts are trusted of. Signatures have 64 bytes: r and s of ECDSA, not DER. */
export type CoseVerifier = {
  /** What it may call itself: both names of one algorithm, or one. */
  readonly algorithms: readonly number[]
  readonly verify: (message: Uint8Array, signature: Uint8Array) => boolean
}

export type CoseSigner = {
  readonly algorithm: number
  /** COSE key thumbprint (RFC 9679). */
  readonly keyId: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** What the signed part of a receipt says beside the root. `timeS`: POSIX seconds. */
export type CoseClaims = { readonly issuer: string; readonly subject: string; readonly timeS: number }

/** The part of receipts that a checkpoint's receipts share: the signature over its root. */
export type CoseTreeHead = {
  /** Encoded protected header. */
  readonly protectedBytes: Uint8Array
  readonly signature: Uint8Array
}

export type CoseInclusion = {
  readonly treeSize: TreeSize
  readonly leafIndex: LeafIndex
  readonly path: readonly Hash[]
}

export type CoseConsistency = { readonly from: TreeSize; readonly to: TreeSize; readonly path: readonly Hash[] }

const label = { alg: 1, kid: 4, cwtClaims: 15, vds: 395, vdp: 396, inclusion: -1, consistency: -2 } as const
const claim = { iss: 1, sub: 2, iat: 6 } as const
const rfc9162Sha256 = 1
const sign1Tag = 18
const sign1Head = 0xd2
const signatureBytes = 64

/** The protected header of a receipt, encoded. */
export function encodeCoseHeader(
  { algorithm, keyId }: Pick<CoseSigner, 'algorithm' | 'keyId'>,
  { issuer, subject, timeS }: CoseClaims,
): Uint8Array {
  const claims: CborMap = new Map<number, CborValue>([
    [claim.iss, issuer],
    [claim.sub, subject],
    [claim.iat, timeS],
  ])
  return encodeCbor(
    new Map<number, CborValue>([
      [label.alg, algorithm],
      [label.kid, keyId],
      [label.cwtClaims, claims],
      [label.vds, rfc9162Sha256],
    ]),
  )
}

/** Sig_structure (RFC 9052 4.4): what is signed of a root. */
export function coseSignedBytes(protectedBytes: Uint8Array, root: Hash): Uint8Array {
  return encodeCbor(['Signature1', protectedBytes, new Uint8Array(0), root])
}

/** Signs the root of a tree for receipts. */
export function signCoseTreeHead(signer: CoseSigner, root: Hash, claims: CoseClaims): CoseTreeHead {
  const protectedBytes = encodeCoseHeader(signer, claims)
  return { protectedBytes, signature: signer.sign(coseSignedBytes(protectedBytes, root)) }
}

/**
 * The receipt of an entry. `malformed-proof` for a path without hashes: the tree of one entry has no receipt that RFC 9942
 * allows.
 */
export function formatInclusionReceipt(head: CoseTreeHead, { treeSize, leafIndex, path }: CoseInclusion): Uint8Array {
  return formatReceipt(head, label.inclusion, [treeSize, leafIndex, path])
}

/** The receipt of a tree that extends a smaller one. `malformed-proof` likewise, where both are the same. */
export function formatConsistencyReceipt(head: CoseTreeHead, { from, to, path }: CoseConsistency): Uint8Array {
  return formatReceipt(head, label.consistency, [from, to, path])
}

/** Whether bytes begin as a receipt does, and no JSON or text. */
export function isCoseSign1(bytes: Uint8Array): boolean {
  return bytes[0] === sign1Head
}

/** What a receipt proves. `malformed-receipt`, `malformed-cbor`. */
export function receiptKind(bytes: Uint8Array): 'inclusion' | 'consistency' {
  return parseReceipt(bytes).proofs.has(label.inclusion) ? 'inclusion' : 'consistency'
}

/**
 * Checks a receipt of inclusion for an entry's leaf hash; returns the tree whose root it signs. Errors: `malformed-receipt`,
 * `malformed-cbor`; `inclusion-mismatch` where no proof can be one of this entry; `invalid-signature`.
 */
export function checkInclusionReceipt(
  receipt: Uint8Array,
  leafHash: Hash,
  verifier: CoseVerifier,
  sha256: Sha256,
): CoseInclusion & CoseSigned {
  const parsed = parseReceipt(receipt)
  for (const proof of proofsOf(parsed, label.inclusion)) {
    const [treeSize, leafIndex] = [asTreeSize(proof.a), asLeafIndex(proof.b)]
    const root = rootFromInclusion(leafIndex, treeSize, leafHash, proof.path, sha256)
    if (holds(parsed, root, verifier))
      return { treeSize, leafIndex, path: proof.path, root, issuer: parsed.issuer, subject: parsed.subject }
  }
  throw new TlogError('invalid-signature', 'COSE receipt: its signature is not over the root that its proofs lead to')
}

/** Checks a receipt of consistency from a root that is trusted; returns the larger tree. Errors likewise. */
export function checkConsistencyReceipt(
  receipt: Uint8Array,
  fromRoot: Hash,
  verifier: CoseVerifier,
  sha256: Sha256,
): CoseConsistency & CoseSigned {
  const parsed = parseReceipt(receipt)
  for (const proof of proofsOf(parsed, label.consistency)) {
    const [from, to] = [asTreeSize(proof.a), asTreeSize(proof.b)]
    const root = rootFromConsistency(from, to, fromRoot, proof.path, sha256)
    if (holds(parsed, root, verifier))
      return { from, to, path: proof.path, root, issuer: parsed.issuer, subject: parsed.subject }
  }
  throw new TlogError('invalid-signature', 'COSE receipt: its signature is not over the root that its proofs lead to')
}

/** What a receipt's signature covers: the root, and what it says of itself. */
export type CoseSigned = {
  readonly root: Hash
  /** CWT claims, where they are there. */
  readonly issuer: string | undefined
  /** It may bind what a proof does not: the size of the tree. */
  readonly subject: string | undefined
}

type Receipt = {
  readonly protectedBytes: Uint8Array
  readonly algorithm: number
  readonly issuer: string | undefined
  readonly subject: string | undefined
  readonly proofs: CborMap
  readonly signature: Uint8Array
}

type Proof = { readonly a: number; readonly b: number; readonly path: readonly Hash[] }

function formatReceipt(
  { protectedBytes, signature }: CoseTreeHead,
  kind: number,
  [a, b, path]: readonly [number, number, readonly Hash[]],
): Uint8Array {
  if (path.length === 0) {
    throw new TlogError(
      'malformed-proof',
      'COSE receipt: a proof without hashes, as of a tree of one entry, has no receipt',
    )
  }
  const proofs: CborMap = new Map([[kind, [encodeCbor([a, b, path])]]])
  const unprotected: CborMap = new Map([[label.vdp, proofs]])
  return encodeCbor(new CborTag(sign1Tag, [protectedBytes, unprotected, null, signature]))
}

function parseReceipt(bytes: Uint8Array): Receipt {
  const tagged = decodeCbor(bytes)
  if (!(tagged instanceof CborTag) || tagged.tag !== sign1Tag) throw malformed('not a COSE_Sign1 (tag 18)')
  const { value: parts } = tagged
  if (!Array.isArray(parts) || parts.length !== 4) throw malformed('not four parts')
  const [protectedBytes, unprotected, payload, signature] = parts as readonly CborValue[]
  if (!(protectedBytes instanceof Uint8Array)) throw malformed('protected header is no byte string')
  if (!(signature instanceof Uint8Array) || signature.length !== signatureBytes)
    throw malformed('signature is not 64 bytes')
  if (payload !== null) throw malformed('payload is attached')
  const header = decodeCbor(protectedBytes)
  if (!isMap(header) || !isMap(unprotected)) throw malformed('a header is no map')
  const [algorithm, vds, proofs] = [header.get(label.alg), header.get(label.vds), unprotected.get(label.vdp)]
  if (typeof algorithm !== 'number') throw malformed('no algorithm in the protected header')
  if (vds !== rfc9162Sha256) throw malformed('verifiable data structure is not RFC9162_SHA256')
  if (!isMap(proofs)) throw malformed('no proofs')
  return { protectedBytes, algorithm, ...claimsOf(header), proofs, signature }
}

function claimsOf(header: CborMap): Pick<Receipt, 'issuer' | 'subject'> {
  const claims = header.get(label.cwtClaims)
  const [issuer, subject] = isMap(claims) ? [claims.get(claim.iss), claims.get(claim.sub)] : []
  return {
    issuer: typeof issuer === 'string' ? issuer : undefined,
    subject: typeof subject === 'string' ? subject : undefined,
  }
}

function proofsOf({ proofs }: Receipt, kind: number): readonly Proof[] {
  const listed = proofs.get(kind)
  if (!Array.isArray(listed) || listed.length === 0) throw malformed('no proof of this kind')
  return (listed as readonly CborValue[]).map((each) => {
    if (!(each instanceof Uint8Array)) throw malformed('proof is no byte string')
    return readProof(decodeCbor(each))
  })
}

function readProof(value: CborValue): Proof {
  if (!Array.isArray(value) || value.length !== 3) throw malformed('proof is no array of three')
  const [a, b, path] = value as readonly CborValue[]
  if (typeof a !== 'number' || typeof b !== 'number' || a < 0 || b < 0) throw malformed('proof of no two sizes')
  if (!Array.isArray(path) || path.length === 0) throw malformed('proof without hashes')
  return { a, b, path: (path as readonly CborValue[]).map(readHash) }
}

function readHash(value: CborValue): Hash {
  if (!(value instanceof Uint8Array) || value.length !== 32) throw malformed('hash of a proof is not 32 bytes')
  return asHash(value, 'hash of a proof')
}

function holds({ algorithm, protectedBytes, signature }: Receipt, root: Hash, verifier: CoseVerifier): boolean {
  if (!verifier.algorithms.includes(algorithm)) throw malformed(`algorithm ${algorithm} is not the key's`)
  return verifier.verify(coseSignedBytes(protectedBytes, root), signature)
}

function isMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-receipt', `COSE receipt: ${reason}`)
}
