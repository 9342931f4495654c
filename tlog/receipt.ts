import { encodeUtf8, equalBytes, formatHex, parseBase64, parseHex } from './bytes.ts'
import { chainHash, chainText, genesisHash } from './chain.ts'
import { type CheckpointBody, openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize, type SequenceNumber } from './coords.ts'
import { decodeLeaf, type LeafFields, leafBytesMax } from './entry.ts'
import { entryMembers } from './entry-members.ts'
import { TlogError } from './errors.ts'
import { digest, hashBytes, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { jcs } from './jcs.ts'
import { parseStrict } from './json-scan.ts'
import { Tape } from './json-tape.ts'
import { type NoteVerifier, noteBytesMax } from './note.ts'
import { checkInclusion } from './verify.ts'

/** What a receipt proves, once it was checked. */
export type CheckedReceipt = {
  readonly fields: LeafFields
  readonly checkpoint: CheckpointBody
}

/** A payload of depth 64 in an entry in a receipt. */
export const receiptDepthMax = 66

/** No tree of up to 2^53 leaves has a longer proof. */
const proofHashesMax = 53
const leafTextMax = 4 * Math.ceil(leafBytesMax / 3)

/** The JSON of a receipt, read strictly, for `checkReceipt`. Throws `malformed-json` and `json-not-strict`. */
export function parseReceipt(bytes: Uint8Array): unknown {
  return parseStrict(bytes, new Tape(receiptDepthMax))
}

/**
 * Checks a receipt offline, as the server answered it and `parseReceipt` read it: the members of `entry` are those of
 * the leaf and no others, the payload is the one that the leaf covers, the chain hash is that of the entry and its
 * `previousHash`, the leaf is in the tree, and the tree's checkpoint is signed by the log that `verifier` names.
 * Members beside `entry`, `leaf`, `inclusionProof` and `checkpoint` are ignored: later servers may add evidence.
 *
 * Throws TlogErrors: `malformed-receipt` where it has not a receipt's shape, `unknown-leaf-format` where it could not be
 * checked; `leaf-mismatch`, `chain-mismatch`, `inclusion-mismatch`, and those of leaves, proofs, notes and checkpoints
 * where it does not hold.
 */
export function checkReceipt(receipt: unknown, verifier: NoteVerifier, hash: Sha256 = nobleSha256): CheckedReceipt {
  const parts = receiptParts(receipt)
  const fields = decodeLeaf(parts.leaf)
  checkEntry(parts.entry, fields, parts.leaf, hash)
  const { checkpoint } = openCheckpoint(encodeUtf8(parts.note), verifier.name, [verifier])
  const { leafIndex, treeSize, hashes } = parts.proof
  const index = fields.sequenceNumber - 1
  if (treeSize !== checkpoint.size) throw proofMismatch('treeSize', treeSize, `the checkpoint's is ${checkpoint.size}`)
  if (leafIndex !== index) throw proofMismatch('leafIndex', leafIndex, `the leaf's is ${index}`)
  const leaf = leafHash(parts.leaf, hash)
  checkInclusion(asLeafIndex(index), asTreeSize(treeSize), leaf, hashes, checkpoint.root, hash)
  return { fields, checkpoint }
}

type Members = Readonly<Record<string, unknown>>
type Proof = { readonly leafIndex: number; readonly treeSize: number; readonly hashes: readonly Uint8Array[] }
type ReceiptParts = {
  readonly entry: Members
  readonly leaf: Uint8Array
  readonly proof: Proof
  readonly note: string
}

/** Members of an entry that its leaf does not hold itself. */
const derivedNames = ['previousHash', 'leafHash', 'payload'] as const

function receiptParts(receipt: unknown): ReceiptParts {
  const { entry, leaf, inclusionProof, checkpoint } = object(receipt, 'receipt')
  return {
    entry: object(entry, 'entry'),
    leaf: parseBase64(string(leaf, 'leaf', leafTextMax)),
    proof: proofOf(object(inclusionProof, 'inclusionProof')),
    note: string(checkpoint, 'checkpoint', noteBytesMax),
  }
}

function proofOf({ leafIndex, treeSize, hashes }: Members): Proof {
  if (!Array.isArray(hashes)) throw malformed(`inclusionProof.hashes: want an array, got ${show(hashes)}`)
  if (hashes.length > proofHashesMax) throw malformed(`inclusionProof.hashes: ${hashes.length} of them`)
  return {
    leafIndex: integer(leafIndex, 'inclusionProof.leafIndex'),
    treeSize: integer(treeSize, 'inclusionProof.treeSize'),
    hashes: hashes.map((text) => parseBase64(string(text, 'inclusionProof.hashes', 80))),
  }
}

function checkEntry(entry: Members, fields: LeafFields, leaf: Uint8Array, hash: Sha256): void {
  const want = { ...entryMembers(fields), leafHash: formatHex(leafHash(leaf, hash)) }
  for (const [name, value] of Object.entries(want)) {
    if (entry[name] !== value) {
      throw new TlogError('leaf-mismatch', `entry.${name}: got ${show(entry[name])}, the leaf says ${show(value)}`)
    }
  }
  // What nothing covers must not look as if it had been checked.
  const unknown = Object.keys(entry).find((name) => !Object.hasOwn(want, name) && !isDerived(name))
  if (unknown !== undefined) throw new TlogError('leaf-mismatch', `entry: the leaf does not cover ${show(unknown)}`)
  checkDepth(entry.payload)
  if (!equalBytes(digest(encodeUtf8(jcs(entry.payload)), hash), fields.payloadHash)) {
    throw new TlogError('leaf-mismatch', 'entry.payload: its SHA-256 is not the one that the leaf covers')
  }
  checkChain(entry, fields, hash)
}

function checkChain({ payload, previousHash }: Members, fields: LeafFields, hash: Sha256): void {
  const previous = string(previousHash, 'entry.previousHash', 2 * hashBytes)
  if (parseHex(previous).length !== hashBytes) throw malformed('entry.previousHash: want 64 hex digits')
  if (fields.sequenceNumber === 1 && previous !== genesisHash) {
    throw new TlogError('chain-mismatch', `entry.previousHash: got ${previous} for entry 1, want 64 zeros`)
  }
  const { actorId, action, resource } = fields
  const sequenceNumber = fields.sequenceNumber as SequenceNumber
  const got = chainHash(sequenceNumber, actorId, action, resource, chainText(payload), previous, hash)
  const want = formatHex(fields.currentHash)
  if (got !== want) throw new TlogError('chain-mismatch', `chain hash: got ${got}, the leaf says ${want}`)
}

/** Canonical texts are made by recursion; what is nested deeper than any payload must not reach them. */
function checkDepth(payload: unknown): void {
  let level: unknown[] = [payload]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > receiptDepthMax) throw malformed('entry.payload: nested too deep')
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []))
  }
}

function isDerived(name: string): boolean {
  return (derivedNames as readonly string[]).includes(name)
}

function object(value: unknown, name: string): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members
  throw malformed(`${name}: want an object, got ${show(value)}`)
}

function string(value: unknown, name: string, lengthMax: number): string {
  if (typeof value !== 'string') throw malformed(`${name}: want a string, got ${show(value)}`)
  if (value.length > lengthMax) throw malformed(`${name}: ${value.length} characters, limit ${lengthMax}`)
  return value
}

function integer(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value)) throw malformed(`${name}: want an integer, got ${show(value)}`)
  return value as number
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-receipt', `receipt: ${reason}`)
}

function proofMismatch(name: string, got: number, want: string): TlogError {
  return new TlogError('inclusion-mismatch', `inclusionProof.${name}: got ${got}, ${want}`)
}

/** A value for a message: short, whatever it is. */
function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a value of type ${typeof value}`
}
