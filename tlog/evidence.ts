import { encodeUtf8, equalBytes, formatBase64, parseBase64 } from './bytes.ts'
import { openCheckpoint } from './checkpoint.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from './coords.ts'
import { TlogError } from './errors.ts'
import { type Hash, leafHash, nobleSha256, type Sha256 } from './hash.ts'
import { type Members, memberReader } from './json-members.ts'
import { beforeFirstLeaf, type Predecessor, predecessorOf, readLeafInOrder } from './leaf-order.ts'
import { type NoteVerifier, noteBytesMax, type SignatureCheck } from './note.ts'
import { checkSth, parseSth, type SthJson } from './sth.ts'
import { checkConsistency, checkInclusion } from './verify.ts'

// What somebody kept who saw a log do wrong: the log's own signatures, side by side. What two of them say cannot both be
// is proved to everybody with the log's keys; the rest is the word of whoever saw it.

export const evidenceFormat = 'dendrolog/evidence/1'

const { hashOf, hashesOf, integer, list, malformed, object, string } = memberReader('evidence', 'malformed-evidence')
/** Of the longest leaf that a bundle can have; those of our logs are shorter. */
const leafTextMax = 4 * Math.ceil(65_535 / 3)
const payloadTextMax = 1_048_576

/** A tree head with its signature. */
export type EvidenceHead = { readonly checkpoint: string } | { readonly sth: SthJson }

/** The first `size` leaves of the larger of the two trees have this root. Base64. */
export type EvidencePrefix = { readonly size: number; readonly root: string; readonly hashes: readonly string[] }

/** A leaf of the tree that is shown, with its audit path. Base64; `payload` is RFC 8785 text. */
export type EvidenceLeaf = {
  readonly leafIndex: number
  readonly leaf: string
  readonly hashes: readonly string[]
  readonly payload?: string
}

/** Bytes as they were served, base64. Nobody signed them. */
export type EvidenceFile = { readonly path: string; readonly bytes: string }

/** The JSON of evidence; what is not there is null, or an empty list. */
export type EvidenceJson = {
  readonly format: typeof evidenceFormat
  readonly violationType: string
  readonly detail: string
  /** RFC 3339, by the clock of whoever saw it. */
  readonly seenAt: string
  readonly url: string
  readonly vkey: string
  /** What was believed before, and what was shown then. */
  readonly known: EvidenceHead | null
  readonly shown: EvidenceHead | null
  readonly prefix: EvidencePrefix | null
  /** At most two, one behind the other. */
  readonly leaves: readonly EvidenceLeaf[]
  readonly files: readonly EvidenceFile[]
}

export type EvidenceKeys = {
  /** Of checkpoints. */
  readonly verifier: NoteVerifier
  /** Of STHs: SPKI. */
  readonly sth: { readonly spki: Uint8Array; readonly check: SignatureCheck } | undefined
}

/** `proved`: the log signed what cannot be. `unproved`: it shows nothing to who did not see it. */
export type EvidenceVerdict =
  | { readonly kind: 'proved'; readonly code: string; readonly detail: string }
  | { readonly kind: 'unproved'; readonly detail: string }

/** Whether JSON is evidence, of this format or a later one. */
export function isEvidence(value: unknown): boolean {
  const { format } = Object(value) as Members
  return typeof format === 'string' && format.startsWith('dendrolog/evidence/')
}

/**
 * What evidence, as `parseReceipt` read it, proves. Throws TlogErrors where that cannot be said: `malformed-evidence`,
 * `malformed-key` where a key is missing, and those of notes, STHs, proofs and leaves that do not hold.
 */
export function checkEvidence(value: unknown, keys: EvidenceKeys, hash: Sha256 = nobleSha256): EvidenceVerdict {
  const evidence = object(value, 'evidence')
  if (evidence.format !== evidenceFormat) throw malformed(`format: want ${evidenceFormat}`)
  const known = openHead(evidence.known, 'known', keys)
  const shown = openHead(evidence.shown, 'shown', keys)
  if (known !== undefined && 'code' in known) return { kind: 'proved', ...known }
  if (shown !== undefined && 'code' in shown) return { kind: 'proved', ...shown }
  const proved =
    (known && shown && judgeHeads(known, shown, evidence.prefix, hash)) ??
    (shown && judgeLeaves(list(evidence.leaves, 'leaves', 2), shown, hash))
  return proved ?? { kind: 'unproved', detail: unprovedDetail(known, shown) }
}

type Head = { readonly size: TreeSize; readonly root: Hash; readonly timestampMs: number | undefined }
/** What the log signed, and may not sign. */
type BadHead = { readonly code: string; readonly detail: string }

function openHead(value: unknown, name: string, keys: EvidenceKeys): Head | BadHead | undefined {
  if (value === null || value === undefined) return undefined
  const { checkpoint, sth } = object(value, name)
  if (sth !== undefined) return openSth(sth, keys)
  return openNoteHead(string(checkpoint, `${name}.checkpoint`, noteBytesMax), keys.verifier)
}

function openNoteHead(note: string, verifier: NoteVerifier): Head | BadHead {
  try {
    const { size, root } = openCheckpoint(encodeUtf8(note), verifier.name, [verifier]).checkpoint
    return { size, root, timestampMs: undefined }
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    // Said of a note only when its signature was found to hold.
    if (error.code !== 'origin-mismatch' && error.code !== 'root-mismatch') throw error
    return { code: error.code, detail: error.message }
  }
}

function openSth(value: unknown, { sth: key }: EvidenceKeys): Head {
  if (key === undefined) throw new TlogError('malformed-key', 'evidence has an STH: want the key of the STHs too')
  const sth = parseSth(value)
  checkSth(sth, key.spki, key.check)
  return sth
}

function judgeHeads(known: Head, shown: Head, prefix: unknown, hash: Sha256): EvidenceVerdict | undefined {
  if (known.size === shown.size) {
    if (equalBytes(known.root, shown.root)) return undefined
    const detail = `the log signed two roots of ${known.size} entries: ${formatBase64(known.root)} and ${formatBase64(shown.root)}`
    return { kind: 'proved', code: 'forked', detail }
  }
  if (areBackwards(known, shown)) {
    const detail = `the log signed ${known.size} entries at ${known.timestampMs} ms and ${shown.size} at ${shown.timestampMs} ms`
    return { kind: 'proved', code: 'clock-backwards', detail }
  }
  if (prefix === null || prefix === undefined) return undefined
  const [small, large] = known.size < shown.size ? [known, shown] : [shown, known]
  return judgePrefix(small, large, object(prefix, 'prefix'), hash)
}

/** Whether of two timed heads the later one is of the smaller tree: sizes never go back. */
export function areBackwards(
  a: { readonly size: number; readonly timestampMs?: number | undefined },
  b: { readonly size: number; readonly timestampMs?: number | undefined },
): boolean {
  if (a.timestampMs === undefined || b.timestampMs === undefined) return false
  return a.timestampMs < b.timestampMs ? a.size > b.size : b.timestampMs < a.timestampMs && b.size > a.size
}

function judgePrefix(small: Head, large: Head, prefix: Members, hash: Sha256): EvidenceVerdict | undefined {
  const root = hashOf(prefix.root, 'prefix.root')
  if (prefix.size !== small.size) throw malformed(`prefix.size: want ${small.size}`)
  checkConsistency(small.size, large.size, root, large.root, hashesOf(prefix.hashes, 'prefix.hashes'), hash)
  if (equalBytes(root, small.root)) return undefined
  const detail = `the log signed root ${formatBase64(small.root)} of ${small.size} entries, and a tree of ${large.size} of which the first ${small.size} have root ${formatBase64(root)}`
  return { kind: 'proved', code: 'forked', detail }
}

function judgeLeaves(leaves: readonly unknown[], tree: Head, hash: Sha256): EvidenceVerdict | undefined {
  let previous: Predecessor | undefined
  let before = -1
  for (const [i, value] of leaves.entries()) {
    const { leafIndex, leaf, payload } = openLeaf(value, `leaves[${i}]`, tree, hash)
    if (i > 0 && leafIndex !== before + 1) throw malformed(`leaves[${i}].leafIndex: want ${before + 1}`)
    const read = readLeafInOrder(leafIndex, leaf, leafIndex === 0 ? beforeFirstLeaf : previous, payload, hash)
    if (read.kind === 'other-payload') throw malformed(`leaves[${i}].payload: is not the one that the leaf covers`)
    if (read.kind === 'fault') {
      const code = read.fault.kind.toLowerCase().replaceAll('_', '-')
      return { kind: 'proved', code, detail: `in a tree that the log signed, ${read.fault.detail}` }
    }
    previous = predecessorOf(read.fields)
    before = leafIndex
  }
  return undefined
}

type OpenedLeaf = {
  readonly leafIndex: number
  readonly leaf: Uint8Array
  readonly payload: Uint8Array | undefined
}

function openLeaf(value: unknown, name: string, tree: Head, hash: Sha256): OpenedLeaf {
  const members = object(value, name)
  const leaf = parseBase64(string(members.leaf, `${name}.leaf`, leafTextMax))
  const leafIndex = asLeafIndex(integer(members.leafIndex, `${name}.leafIndex`))
  const path = hashesOf(members.hashes, `${name}.hashes`)
  checkInclusion(leafIndex, asTreeSize(tree.size), leafHash(leaf, hash), path, tree.root, hash)
  if (members.payload === undefined) return { leafIndex, leaf, payload: undefined }
  return { leafIndex, leaf, payload: encodeUtf8(string(members.payload, `${name}.payload`, payloadTextMax)) }
}

function unprovedDetail(known: Head | undefined, shown: Head | undefined): string {
  if (known === undefined || shown === undefined) return 'it has not two tree heads that the log signed'
  if (known.size > shown.size) {
    return 'both tree heads are signed and may both be; that the smaller one was shown after the larger one is the word of who saw it'
  }
  return 'both tree heads are signed and may both be; bytes that were served beside them nobody signed'
}
