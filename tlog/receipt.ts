import { encodeUtf8, equalBytes, formatHex, parseBase64, parseHex } from './bytes.ts'
import { chainHash, chainText } from './chain.ts'
import { type CheckpointBody, openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize, type SequenceNumber } from './coords.ts'
import { decodeLeaf, type LeafFields } from './entry.ts'
import { TlogError } from './errors.ts'
import { digest, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { jcs } from './jcs.ts'
import type { NoteVerifier } from './note.ts'
import { formatMicroseconds } from './time.ts'
import { formatUuid } from './uuid.ts'
import { checkInclusion } from './verify.ts'

/** What a receipt proves, once it was checked. */
export type CheckedReceipt = {
  readonly fields: LeafFields
  readonly checkpoint: CheckpointBody
}

/**
 * Checks a receipt offline, as the server answered it and JSON was parsed strictly: the members of `entry` are those
 * of the leaf, the payload is the one that the leaf covers, the chain hash is that of the entry and its
 * `previousHash`, the leaf is in the tree, and the tree's checkpoint is signed by the log that `verifier` names.
 * Throws `malformed-receipt`, `leaf-mismatch`, `chain-mismatch`, `inclusion-mismatch` and the errors of notes.
 */
export function checkReceipt(receipt: unknown, verifier: NoteVerifier, hash: Sha256 = nobleSha256): CheckedReceipt {
  const leaf = base64(member(receipt, 'leaf'), 'leaf')
  const fields = decodeLeaf(leaf)
  checkEntry(object(member(receipt, 'entry'), 'entry'), fields, hash)
  const proof = object(member(receipt, 'inclusionProof'), 'inclusionProof')
  const note = encodeUtf8(string(member(receipt, 'checkpoint'), 'checkpoint'))
  const { checkpoint } = openCheckpoint(note, verifier.name, [verifier])
  if (integer(proof.treeSize, 'treeSize') !== checkpoint.size) {
    throw mismatch('inclusionProof.treeSize', proof.treeSize, checkpoint.size)
  }
  if (integer(proof.leafIndex, 'leafIndex') !== fields.sequenceNumber - 1) {
    throw mismatch('inclusionProof.leafIndex', proof.leafIndex, fields.sequenceNumber - 1)
  }
  checkInclusion(
    asLeafIndex(fields.sequenceNumber - 1),
    asTreeSize(checkpoint.size),
    leafHash(leaf, hash),
    hashes(proof.hashes),
    checkpoint.root,
    hash,
  )
  return { fields, checkpoint }
}

/** The members of an entry that its leaf holds, as the server prints them. */
export function entryMembers(fields: LeafFields): Readonly<Record<string, string | number | null>> {
  return {
    sequenceNumber: fields.sequenceNumber,
    id: formatUuid(fields.eventId),
    timestamp: formatMicroseconds(fields.timestamp),
    occurredAt: fields.occurredAt === null ? null : formatMicroseconds(fields.occurredAt),
    lamport: fields.lamport,
    actorId: fields.actorId,
    action: fields.action,
    resource: fields.resource,
    clientIp: fields.clientIp,
    writer: fields.writer,
    sourcePosition: fields.sourcePosition,
    payloadHash: formatHex(fields.payloadHash),
    currentHash: formatHex(fields.currentHash),
  }
}

function checkEntry(entry: Readonly<Record<string, unknown>>, fields: LeafFields, hash: Sha256): void {
  for (const [name, want] of Object.entries(entryMembers(fields))) {
    if (entry[name] !== want) throw mismatch(`entry.${name}`, entry[name], want)
  }
  if (!equalBytes(digest(encodeUtf8(jcs(entry.payload)), hash), fields.payloadHash)) {
    throw new TlogError('leaf-mismatch', 'entry.payload: its SHA-256 is not the one that the leaf covers')
  }
  const previousHash = string(entry.previousHash, 'entry.previousHash')
  if (parseHex(previousHash).length !== 32) throw malformed('entry.previousHash: want 64 hex digits')
  const sequenceNumber = fields.sequenceNumber as SequenceNumber
  const { actorId, action, resource } = fields
  const want = chainHash(sequenceNumber, actorId, action, resource, chainText(entry.payload), previousHash, hash)
  if (want !== formatHex(fields.currentHash)) {
    throw new TlogError('chain-mismatch', `entry.currentHash: got ${formatHex(fields.currentHash)}, want ${want}`)
  }
}

function hashes(value: unknown): Uint8Array[] {
  if (!Array.isArray(value)) throw malformed('inclusionProof.hashes: want an array')
  return value.map((text) => base64(text, 'inclusionProof.hashes'))
}

function member(value: unknown, name: string): unknown {
  return object(value, 'receipt')[name]
}

function object(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${name}: want an object`)
  return value as Record<string, unknown>
}

function string(value: unknown, name: string): string {
  if (typeof value !== 'string') throw malformed(`${name}: want a string, got ${typeof value}`)
  return value
}

function integer(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value)) throw malformed(`${name}: want an integer, got ${typeof value}`)
  return value as number
}

function base64(value: unknown, name: string): Uint8Array {
  return parseBase64(string(value, name))
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-receipt', `receipt: ${reason}`)
}

function mismatch(name: string, got: unknown, want: unknown): TlogError {
  return new TlogError('leaf-mismatch', `${name}: got ${JSON.stringify(got)}, the leaf says ${JSON.stringify(want)}`)
}
