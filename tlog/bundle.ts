import { encodeUtf8, equalBytes } from './bytes.ts'
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from './cbor-value.ts'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize } from './coords.ts'
import { decodeLeaf, type LeafFields } from './entry.ts'
import { TlogError } from './errors.ts'
import { asHash, digest, type Hash, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import type { LogAnchor } from './log-anchor.ts'
import type { NoteVerifier, SignatureCheck } from './note.ts'
import type { RenewalPlace, StampBytes } from './stamp-renewal.ts'
import { checkSth, decodeDigitallySigned } from './sth.ts'
import { checkConsistency, checkInclusion } from './verify.ts'

// An evidence bundle: entries, and all that others have said of the trees that hold them, in one file for somebody who
// has no log to ask. Deterministic CBOR (RFC 8949 4.2.1), so that one statement has one spelling: maps by text, byte
// strings as they are signed and stamped, and the SHA-256 of all of it at the end, which also covers what no signature
// does. The first head is the smallest tree, in which the entries are proven; each next one extends the one before.

export const bundleFormat = 'dendrolog/bundle/1'

export type BundleEntry = {
  readonly leafIndex: number
  readonly leaf: Uint8Array
  /** Audit path in the tree of the first head. */
  readonly path: readonly Hash[]
  /** RFC 8785 text in UTF-8; undefined where only its hash, in the leaf, is given away. */
  readonly payload: Uint8Array | undefined
}

/** A stamp of an authority: RFC 3161 token, and X.509 certificates, the authority's own first; DER. */
export type AuthorityStamp = StampBytes & { readonly authority: string }

/** A time stamp of the text and signatures of the head's note as the log signed it. */
export type BundleStamp = AuthorityStamp & {
  /** Stamps of the one before each, with others. */
  readonly renewals: readonly BundleRenewal[]
}

/** Of `renewalTextAt`. */
export type BundleRenewal = AuthorityStamp & RenewalPlace

export type BundleHead = {
  /** The note as the log signed it: what stamps are of. */
  readonly note: string
  /** Lines of cosigners behind it. */
  readonly cosignatures: string
  /** RFC 6962: milliseconds since 1970, and DigitallySigned. */
  readonly sth: { readonly timestampMs: number; readonly signature: Uint8Array }
  /** Consistency proof from the head before; of the first none. */
  readonly extension: readonly Hash[]
  readonly stamps: readonly BundleStamp[]
  /** Other logs in whose trees the head's note stands, as the log signed it. */
  readonly logs: readonly LogAnchor[]
}

/** A key that the log has, or had: from which tree size on, and until which. */
export type BundleKey = { readonly vkey: string; readonly from: number; readonly until: number | null }

export type Bundle = {
  readonly entries: readonly BundleEntry[]
  readonly heads: readonly BundleHead[]
  /** What the log says of its keys. Whoever checks must know one from elsewhere. */
  readonly keys: readonly BundleKey[]
  /** Its key of STHs, SPKI. */
  readonly sthKey: Uint8Array
}

export type CheckedBundle = {
  readonly bundle: Bundle
  readonly fields: readonly LeafFields[]
  readonly checkpoints: readonly Checkpoint[]
}

/** A case file of an investigation; larger ones are several. */
export const bundleBytesMax = 67_108_864
const digestBytes = 32

export function encodeBundle({ entries, heads, keys, sthKey }: Bundle, hash: Sha256 = nobleSha256): Uint8Array {
  const members = new Map<string, CborValue>([
    ['format', bundleFormat],
    ['entries', entries.map(entryValue)],
    ['heads', heads.map(headValue)],
    ['keys', keys.map(({ vkey, from, until }) => mapOf({ vkey, from, until }))],
    ['sthKey', sthKey],
  ])
  const sha256 = digest(encodeCbor(members), hash)
  return encodeCbor(new Map([...members, ['sha256', sha256]]))
}

/** Whether bytes begin as those of a bundle. */
export function isBundle(bytes: Uint8Array): boolean {
  const head = encodeCbor(new Map<string, CborValue>([['keys', []]])).subarray(1, 6)
  return bytes[0] === 0xa6 && equalBytes(bytes.subarray(1, 6), head)
}

/** `malformed-bundle` unless it is the one spelling of what it says. Nothing is proven yet. */
export function decodeBundle(bytes: Uint8Array, hash: Sha256 = nobleSha256): Bundle {
  if (bytes.length > bundleBytesMax) throw malformed(`${bytes.length} bytes, limit ${bundleBytesMax}`)
  const members = mapIn(
    unlessMalformed(() => decodeCbor(bytes)),
    'bundle',
  )
  if (members.get('format') !== bundleFormat) throw malformed('of another format')
  const bundle = {
    entries: listIn(members, 'entries').map(readEntry),
    heads: listIn(members, 'heads').map(readHead),
    keys: listIn(members, 'keys').map(readKey),
    sthKey: bytesIn(members, 'sthKey'),
  }
  if (bytesIn(members, 'sha256').length !== digestBytes || !equalBytes(encodeBundle(bundle, hash), bytes)) {
    throw malformed('it was altered: its bytes are not those of which it has the hash')
  }
  return bundle
}

/**
 * Checks all that the log itself says in a bundle: both signatures of each head, that each extends the one before, that
 * the entries stand in the first, and that payloads are those of the leaves. Stamps and cosignatures are for others.
 * Errors: `malformed-bundle`, and those of leaves, proofs, notes, checkpoints and STHs.
 */
export function checkBundle(
  bytes: Uint8Array,
  verifier: NoteVerifier,
  check: SignatureCheck,
  sha256: Sha256 = nobleSha256,
): CheckedBundle {
  const bundle = decodeBundle(bytes, sha256)
  const checkpoints = bundle.heads.map((head) => openHead(head, verifier, bundle.sthKey, check))
  const [first] = checkpoints
  if (first === undefined || bundle.entries.length === 0) throw malformed('no head or no entry')
  for (const [i, { extension }] of bundle.heads.entries()) {
    const [before, head] = [checkpoints[i - 1], checkpoints[i] as Checkpoint]
    if (before !== undefined) checkConsistency(before.size, head.size, before.root, head.root, extension, sha256)
    else if (extension.length > 0) throw malformed('the first head extends nothing')
  }
  const fields = bundle.entries.map((entry) => openEntry(entry, first, sha256))
  return { bundle, fields, checkpoints }
}

function openHead(
  { note, sth }: BundleHead,
  verifier: NoteVerifier,
  sthKey: Uint8Array,
  check: SignatureCheck,
): Checkpoint {
  const { checkpoint } = openCheckpoint(encodeUtf8(note), verifier.name, [verifier])
  const { size, root } = checkpoint
  checkSth({ size, root, timestampMs: sth.timestampMs, signature: decodeDigitallySigned(sth.signature) }, sthKey, check)
  return checkpoint
}

function openEntry({ leafIndex, leaf, path, payload }: BundleEntry, head: Checkpoint, sha256: Sha256): LeafFields {
  const fields = decodeLeaf(leaf)
  if (fields.sequenceNumber !== leafIndex + 1) {
    throw new TlogError('inclusion-mismatch', `bundle: leaf of entry ${fields.sequenceNumber} at index ${leafIndex}`)
  }
  const index = asLeafIndex(leafIndex)
  checkInclusion(index, asTreeSize(head.size), leafHash(leaf, sha256), path, head.root, sha256)
  if (payload !== undefined && !equalBytes(digest(payload, sha256), fields.payloadHash)) {
    throw new TlogError('leaf-mismatch', `bundle: payload of entry ${fields.sequenceNumber} is not the one of its leaf`)
  }
  return fields
}

function entryValue({ leafIndex, leaf, path, payload }: BundleEntry): CborMap {
  return mapOf({ leafIndex, leaf, path, ...(payload === undefined ? {} : { payload }) })
}

function headValue({ note, cosignatures, sth, extension, stamps, logs }: BundleHead): CborMap {
  return mapOf({
    ...{ note, cosignatures, timestamp: sth.timestampMs, treeHeadSignature: sth.signature, extension },
    stamps: stamps.map((stamp) => mapOf({ ...membersOf(stamp), renewals: stamp.renewals.map(renewalValue) })),
    logs: logs.map(logAnchorValue),
  })
}

function readEntry(value: CborValue): BundleEntry {
  const entry = mapIn(value, 'entry')
  const payload = entry.has('payload') ? bytesIn(entry, 'payload') : undefined
  const place = { leafIndex: integerIn(entry, 'leafIndex'), leaf: bytesIn(entry, 'leaf') }
  return { ...place, path: hashesIn(entry, 'path'), payload }
}

function readHead(value: CborValue): BundleHead {
  const head = mapIn(value, 'head')
  return {
    ...{ note: textIn(head, 'note'), cosignatures: textIn(head, 'cosignatures') },
    sth: { timestampMs: integerIn(head, 'timestamp'), signature: bytesIn(head, 'treeHeadSignature') },
    extension: hashesIn(head, 'extension'),
    stamps: listIn(head, 'stamps').map(readStamp),
    logs: listIn(head, 'logs').map(readLogAnchor),
  }
}

function readStamp(value: CborValue): BundleStamp {
  const stamp = mapIn(value, 'stamp')
  return { ...readAuthorityStamp(stamp), renewals: listIn(stamp, 'renewals').map(readRenewal) }
}

function readRenewal(value: CborValue): BundleRenewal {
  const renewal = mapIn(value, 'renewal')
  const place = { index: integerIn(renewal, 'index'), size: integerIn(renewal, 'size') }
  return { ...readAuthorityStamp(renewal), ...place, path: hashesIn(renewal, 'path') }
}

function readAuthorityStamp(stamp: CborMap): AuthorityStamp {
  const certificates = listIn(stamp, 'certificates').map((each) => {
    if (each instanceof Uint8Array) return each
    throw malformed('certificate is no byte string')
  })
  return { authority: textIn(stamp, 'authority'), token: bytesIn(stamp, 'token'), certificates }
}

function membersOf({ authority, token, certificates }: AuthorityStamp): Readonly<Record<string, CborValue>> {
  return { authority, token, certificates }
}

function renewalValue({ index, size, path, ...stamp }: BundleRenewal): CborMap {
  return mapOf({ ...membersOf(stamp), index, size, path })
}

/** Another log's anchor as CBOR; of its evidence in the database as well. */
export function logAnchorValue({ log, vkey, index, leaf, path, checkpoint }: LogAnchor): CborMap {
  return mapOf({ log, vkey, index, ...(leaf === undefined ? {} : { leaf }), path, checkpoint })
}

/** `malformed-bundle` where it is none. Nothing of it is proven yet. */
export function readLogAnchor(value: CborValue): LogAnchor {
  const anchor = mapIn(value, 'log')
  const leaf = anchor.has('leaf') ? bytesIn(anchor, 'leaf') : undefined
  const names = { log: textIn(anchor, 'log'), vkey: textIn(anchor, 'vkey'), checkpoint: textIn(anchor, 'checkpoint') }
  return { ...names, index: integerIn(anchor, 'index'), leaf, path: hashesIn(anchor, 'path') }
}

function readKey(value: CborValue): BundleKey {
  const key = mapIn(value, 'key')
  const until = key.get('until') === null ? null : integerIn(key, 'until')
  return { vkey: textIn(key, 'vkey'), from: integerIn(key, 'from'), until }
}

function mapOf(members: Readonly<Record<string, CborValue>>): CborMap {
  return new Map(Object.entries(members))
}

function mapIn(value: CborValue, what: string): CborMap {
  if (value instanceof Map) return value
  throw malformed(`${what} is no map`)
}

function listIn(map: CborMap, name: string): readonly CborValue[] {
  const value = map.get(name)
  if (Array.isArray(value)) return value
  throw malformed(`${name} is no array`)
}

function hashesIn(map: CborMap, name: string): readonly Hash[] {
  return listIn(map, name).map((each) => {
    if (each instanceof Uint8Array && each.length === digestBytes) return asHash(each, name)
    throw malformed(`${name}: a hash is not 32 bytes`)
  })
}

function bytesIn(map: CborMap, name: string): Uint8Array {
  const value = map.get(name)
  if (value instanceof Uint8Array) return value
  throw malformed(`${name} is no byte string`)
}

function textIn(map: CborMap, name: string): string {
  const value = map.get(name)
  if (typeof value === 'string') return value
  throw malformed(`${name} is no text`)
}

function integerIn(map: CborMap, name: string): number {
  const value = map.get(name)
  if (typeof value === 'number' && value >= 0) return value
  throw malformed(`${name} is no number`)
}

function unlessMalformed<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof TlogError) || cause.code !== 'malformed-cbor') throw cause
    throw new TlogError('malformed-bundle', `bundle: ${cause.message}`, { cause })
  }
}

function malformed(reason: string): TlogError {
  return new TlogError('malformed-bundle', `bundle: ${reason}`)
}
