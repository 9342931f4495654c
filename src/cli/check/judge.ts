import { isBundle } from '../../../tlog/bundle.ts'
import { equalBytes, formatHex } from '../../../tlog/bytes.ts'
import { isCoseSign1 } from '../../../tlog/cose-receipt.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { checkEvidence, isEvidence } from '../../../tlog/evidence.ts'
import type { Hash } from '../../../tlog/hash.ts'
import { type NoteVerifier, textVerifier } from '../../../tlog/note.ts'
import type { VerifierKey } from '../../../tlog/note-key.ts'
import { checkOwnAct, type OwnActEntry, ownActionPrefix } from '../../../tlog/own-act.ts'
import { checkProofFile, leafHashOfExtra, parseProofFile, proofFileHeader } from '../../../tlog/proof-file.ts'
import { checkProofJson, isProofJson } from '../../../tlog/proof-json.ts'
import { checkReceipt, parseReceipt } from '../../../tlog/receipt.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { judgeCose } from './cose.ts'
import { checkCosigned } from './cosigned.ts'
import { judgeBundle } from './judge-bundle.ts'
import { judged, saysNothing } from './judged.ts'
import { type Known, leafHashOf, type ProvedEntry, type Result } from './result.ts'

/** Checks the bytes of a receipt, proof or evidence. */
export function judgeBytes(bytes: Uint8Array, key: VerifierKey, known: Known = {}): Result {
  if (isBundle(bytes)) return judgeBundle(bytes, key, known)
  const { leaf, fromRoot, sthKey, witnesses } = known
  return judged(key, () => {
    if (isCoseSign1(bytes)) return judgeCose(bytes, key.name, { leaf, fromRoot, sthKey, witnesses })
    const result = checkBytes(bytes, textVerifier(key, nodeSignatureCheck), leaf, sthKey)
    const ofLeaf = leaf === undefined ? result : requireLeaf(result, leaf)
    if (ofLeaf.kind !== 'holds' || witnesses === undefined) return ofLeaf
    return { ...ofLeaf, cosigned: checkCosigned(noteOf(bytes), witnesses) }
  })
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
    if (!(error instanceof TlogError) || saysNothing(error)) throw error
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

/** What a server said instead of a receipt: an RFC 9457 problem, which a client without care saves as its answer. */
function describeProblem(value: unknown): string | undefined {
  const { status, code, title, detail, entry } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof status !== 'number' || typeof title !== 'string' || entry !== undefined) return undefined
  const said = [code, detail ?? title].filter((part) => typeof part === 'string').join(': ')
  return `this is no receipt but a refusal: the server answered ${status} ${said}`
}
