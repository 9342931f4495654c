import { coseThumbprint, p256CoseVerifier } from './cose-key.ts'
import {
  type CoseClaims,
  type CoseConsistency,
  type CoseInclusion,
  type CoseSigned,
  type CoseTreeHead,
  checkConsistencyReceipt,
  checkInclusionReceipt,
  coseAlgorithms,
  coseSignedBytes,
  encodeCoseHeader,
} from './cose-receipt.ts'
import { TlogError } from './errors.ts'
import type { Hash, Sha256 } from './hash.ts'
import type { SignatureCheck } from './note.ts'

// The receipts of our logs: the log's P-256 key signs the root of each checkpoint for them. RFC 9942 signs the root alone,
// and a path may lead to the same root in trees of several sizes: ours say the size as their subject.

/** The tree head of a checkpoint, whose time is the STH's. */
export type CoseCheckpoint = {
  readonly origin: string
  readonly treeSize: number
  /** Milliseconds since 1970. */
  readonly timestampMs: number
}

/** A log, as whoever trusts it knows it; `spki` is of its P-256 key. */
export type CoseLog = { readonly origin: string; readonly spki: Uint8Array; readonly check: SignatureCheck }

/** What is signed for the receipts of a checkpoint; `spki` is of the log's P-256 key. `malformed-key`. */
export function encodeSignedHead(spki: Uint8Array, checkpoint: CoseCheckpoint & { readonly root: Hash }): Uint8Array {
  return coseSignedBytes(encodeHeader(spki, checkpoint), checkpoint.root)
}

/** What the receipts under a checkpoint share, of its stored signature of 64 bytes. `malformed-key` likewise. */
export function receiptHeadOf(spki: Uint8Array, checkpoint: CoseCheckpoint, signature: Uint8Array): CoseTreeHead {
  return { protectedBytes: encodeHeader(spki, checkpoint), signature }
}

/** `invalid-signature` where a checkpoint's signature for receipts is not the log's. */
export function checkReceiptHead(
  { origin, spki, check }: CoseLog,
  { treeSize, timestampMs, root }: Omit<CoseCheckpoint, 'origin'> & { readonly root: Hash },
  signature: Uint8Array,
): void {
  const signed = encodeSignedHead(spki, { origin, treeSize, timestampMs, root })
  if (p256CoseVerifier(spki, check).verify(signed, signature)) return
  throw new TlogError('invalid-signature', 'the signature for COSE receipts is not one of the log')
}

/**
 * Checks a log's receipt for a leaf, issuer and size included. Errors: those of `checkInclusionReceipt`, and
 * `origin-mismatch`, `inclusion-mismatch` where it is of another log or says another size than was signed.
 */
export function openInclusionReceipt(
  receipt: Uint8Array,
  leafHash: Hash,
  log: CoseLog,
  sha256: Sha256,
): CoseInclusion & CoseSigned {
  const opened = checkInclusionReceipt(receipt, leafHash, p256CoseVerifier(log.spki, log.check), sha256)
  checkClaims(opened, log, opened.treeSize, 'inclusion-mismatch')
  return opened
}

/** Checks a log's receipt that a tree extends that of `fromRoot`, likewise; `consistency-mismatch`. */
export function openConsistencyReceipt(
  receipt: Uint8Array,
  fromRoot: Hash,
  log: CoseLog,
  sha256: Sha256,
): CoseConsistency & CoseSigned {
  const opened = checkConsistencyReceipt(receipt, fromRoot, p256CoseVerifier(log.spki, log.check), sha256)
  checkClaims(opened, log, opened.to, 'consistency-mismatch')
  return opened
}

function encodeHeader(spki: Uint8Array, checkpoint: CoseCheckpoint): Uint8Array {
  return encodeCoseHeader({ algorithm: coseAlgorithms.es256, keyId: coseThumbprint(spki) }, claimsOf(checkpoint))
}

function claimsOf({ origin, treeSize, timestampMs }: CoseCheckpoint): CoseClaims {
  return { issuer: origin, subject: subjectOf(treeSize), timeS: Math.floor(timestampMs / 1_000) }
}

function checkClaims(
  { issuer, subject }: CoseSigned,
  { origin }: CoseLog,
  treeSize: number,
  code: 'inclusion-mismatch' | 'consistency-mismatch',
): void {
  if (issuer !== origin) throw new TlogError('origin-mismatch', `COSE receipt: issued by ${issuer}, want ${origin}`)
  if (subject === subjectOf(treeSize)) return
  throw new TlogError(code, `COSE receipt: its proof is of ${treeSize} entries, what was signed says ${subject}`)
}

function subjectOf(treeSize: number): string {
  return `tree-size:${treeSize}`
}
