import type { X509Certificate } from 'node:crypto'
import { isBundle } from '../../../tlog/bundle.ts'
import { equalBytes, formatHex } from '../../../tlog/bytes.ts'
import { encodeLeaf } from '../../../tlog/entry.ts'
import { TlogError, type TlogErrorCode } from '../../../tlog/errors.ts'
import { checkEvidence, isEvidence } from '../../../tlog/evidence.ts'
import { type Hash, leafHash } from '../../../tlog/hash.ts'
import { type NoteVerifier, textVerifier } from '../../../tlog/note.ts'
import { formatKeyId, type VerifierKey } from '../../../tlog/note-key.ts'
import { checkOwnAct, type OwnActEntry, ownActionPrefix } from '../../../tlog/own-act.ts'
import { checkProofFile, leafHashOfExtra, parseProofFile, proofFileHeader } from '../../../tlog/proof-file.ts'
import { checkProofJson, isProofJson, type ProvedConsistency, type ProvedLeaf } from '../../../tlog/proof-json.ts'
import { type CheckedReceipt, checkReceipt, parseReceipt } from '../../../tlog/receipt.ts'
import type { Cosigned, Witnesses } from '../../cosign/witnesses.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { type ExitStatus, exitCouldNotCheck, exitHolds, exitViolation } from '../command.ts'
import { type ProvedBundle, proveBundle } from './bundle.ts'
import { checkCosigned } from './cosigned.ts'

/** What a file shows: an entry with all it says, a leaf of which only the hash is known, or that a tree extends another. */
export type Proved = ProvedEntry | ProvedLeaf | ProvedConsistency | ProvedBundle

/** `isOwnAct`: the log itself did what the entry says, and signed that. */
export type ProvedEntry = { readonly kind: 'entry'; readonly isOwnAct: boolean } & CheckedReceipt

/** What came of a check. `code` is a TlogError's, or says why nothing could be checked. */
export type Result =
  | {
      readonly kind: 'holds'
      readonly proved: Proved
      /** The witnesses of the policy that was given, who are its quorum. */
      readonly cosigned?: readonly Cosigned[]
    }
  | { readonly kind: 'violated' | 'unknown'; readonly code: string; readonly detail: string }

export const exitStatuses: Readonly<Record<Result['kind'], ExitStatus>> = {
  holds: exitHolds,
  violated: exitViolation,
  unknown: exitCouldNotCheck,
}

/**
 * Errors that say nothing about the log of the key: what was given is no receipt or proof, of a format that this
 * program cannot check, or signed by others.
 */
const couldNotCheckCodes: readonly TlogErrorCode[] = [
  'malformed-json',
  'json-not-strict',
  'malformed-receipt',
  'malformed-proof-file',
  'malformed-evidence',
  'unknown-leaf-format',
  'malformed-key',
  'unverified-note',
  'malformed-policy',
  'malformed-bundle',
]

/** What a caller knows beside the log's key. */
export type Known = {
  /** The hash that the leaf must have. */
  readonly leaf?: Hash | undefined
  /** SPKI of the log's key of STHs, for evidence. */
  readonly sthKey?: Uint8Array | undefined
  /** Who must have cosigned the checkpoint. */
  readonly witnesses?: Witnesses | undefined
  /** Whose time-stamp authorities are trusted. */
  readonly roots?: readonly X509Certificate[] | undefined
}

/** Checks the bytes of a receipt, proof or evidence. */
export function judgeBytes(
  bytes: Uint8Array,
  key: VerifierKey,
  { leaf, sthKey, witnesses, roots = [] }: Known = {},
): Result {
  try {
    if (isBundle(bytes)) {
      const verifier = textVerifier(key, nodeSignatureCheck)
      return { kind: 'holds', proved: proveBundle(bytes, { verifier, sthKey, witnesses, roots }) }
    }
    const result = checkBytes(bytes, textVerifier(key, nodeSignatureCheck), leaf, sthKey)
    const judged = leaf === undefined ? result : requireLeaf(result, leaf)
    if (judged.kind !== 'holds' || witnesses === undefined) return judged
    return { ...judged, cosigned: checkCosigned(noteOf(bytes), witnesses) }
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    const { code, message } = error
    const kind = couldNotCheckCodes.includes(code) ? 'unknown' : 'violated'
    if (code !== 'unverified-note') return { kind, code, detail: message }
    const want = `${key.name}+${formatKeyId(key.keyId)}`
    return { kind, code, detail: `the receipt is of another log or key: ${message}; the key given is ${want}` }
  }
}

function checkBytes(
  bytes: Uint8Array,
  verifier: NoteVerifier,
  leaf: Hash | undefined,
  sthKey: Uint8Array | undefined,
): Result {
  if (isProofFile(bytes)) return checkText(bytes, verifier, leaf)
  const value = parseReceipt(bytes)
  if (isEvidence(value)) return judgeEvidence(value, verifier, sthKey)
  const refusal = describeProblem(value)
  if (refusal !== undefined) return { kind: 'unknown', code: 'not-a-receipt', detail: refusal }
  if (isProofJson(value)) return { kind: 'holds', proved: checkProofJson(value, verifier, nativeSha256) }
  return { kind: 'holds', proved: checkEntry(value, verifier) }
}

/** Evidence that does not hold, or shows nothing by itself, says nothing about the log. */
function judgeEvidence(value: unknown, verifier: NoteVerifier, sthKey: Uint8Array | undefined): Result {
  try {
    const sth = sthKey && { spki: sthKey, check: nodeSignatureCheck }
    const verdict = checkEvidence(value, { verifier, sth }, nativeSha256)
    if (verdict.kind === 'proved') return { kind: 'violated', code: verdict.code, detail: verdict.detail }
    return { kind: 'unknown', code: 'proves-nothing', detail: verdict.detail }
  } catch (error) {
    if (!(error instanceof TlogError) || couldNotCheckCodes.includes(error.code)) throw error
    return { kind: 'unknown', code: error.code, detail: `the evidence does not hold: ${error.message}` }
  }
}

function checkEntry(receipt: unknown, verifier: NoteVerifier): ProvedEntry {
  const checked = checkReceipt(receipt, verifier, nativeSha256)
  const isOwnAct = checked.fields.action.startsWith(ownActionPrefix)
  if (isOwnAct) checkAct((receipt as { readonly entry: OwnActEntry }).entry, verifier)
  return { kind: 'entry', isOwnAct, ...checked }
}

/** That others signed it, or nobody, is a violation here: the receipt is of this log, which takes such entries of itself only. */
function checkAct(entry: OwnActEntry, verifier: NoteVerifier): void {
  try {
    checkOwnAct(entry, verifier, nativeSha256)
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    const reason = `${JSON.stringify(entry.action)} is for acts of the log itself, which did not sign this one`
    throw new TlogError('act-mismatch', `${reason}: ${cause.message}`, { cause })
  }
}

function isProofFile(bytes: Uint8Array): boolean {
  const name = proofFileHeader.slice(0, proofFileHeader.indexOf('@'))
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, name.length)).toString('latin1') === name
}

function checkText(bytes: Uint8Array, verifier: NoteVerifier, leaf: Hash | undefined): Result {
  const file = parseProofFile(bytes)
  const hash = leaf ?? leafHashOfExtra(file)
  if (hash === undefined) {
    const detail = 'the file does not say of which leaf it is the proof; want --leaf-hash'
    return { kind: 'unknown', code: 'no-leaf-hash', detail }
  }
  const checkpoint = checkProofFile(file, hash, verifier, nativeSha256)
  const place = { leafIndex: file.index, treeSize: checkpoint.size }
  return { kind: 'holds', proved: { kind: 'leaf', ...place, leafHash: hash, checkpoint } }
}

function requireLeaf(result: Result, want: Hash): Result {
  if (result.kind !== 'holds') return result
  const got = leafHashOf(result.proved)
  if (got === undefined) return { kind: 'unknown', code: 'no-leaf', detail: 'a consistency proof is about no leaf' }
  if (equalBytes(got, want)) return result
  const detail = `the proof is of a leaf with hash ${formatHex(got)}, want ${formatHex(want)}`
  return { kind: 'violated', code: 'leaf-mismatch', detail }
}

/** The signed note of what was checked. */
function noteOf(bytes: Uint8Array): string {
  if (isProofFile(bytes)) return parseProofFile(bytes).checkpoint
  return (parseReceipt(bytes) as { readonly checkpoint: string }).checkpoint
}

/** Undefined where it is about trees, or several entries. */
export function leafHashOf(proved: Proved): Hash | undefined {
  if (proved.kind === 'consistency' || proved.kind === 'bundle') return undefined
  return proved.kind === 'leaf' ? proved.leafHash : leafHash(encodeLeaf(proved.fields), nativeSha256)
}

/** What a server said instead of a receipt: an RFC 9457 problem, which a client without care saves as its answer. */
function describeProblem(value: unknown): string | undefined {
  const { status, code, title, detail, entry } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof status !== 'number' || typeof title !== 'string' || entry !== undefined) return undefined
  const said = [code, detail ?? title].filter((part) => typeof part === 'string').join(': ')
  return `this is no receipt but a refusal: the server answered ${status} ${said}`
}
