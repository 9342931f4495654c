import { createHash } from 'node:crypto'
import type { Hash } from '../../tlog/hash.ts'
import type { TileReader } from '../../tlog/log-reader.ts'

// RFC 6962 2.1 word for word, and slow: what everything fast is compared with. It shares no code with tlog/.

/** Entry i of the vectors: ASCII `entry-` and i in decimal. */
export function entryOf(i: number): Uint8Array {
  return new TextEncoder().encode(`entry-${i}`)
}

export function entriesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => entryOf(i))
}

export type ReferenceTree = {
  /** MTH(D[lo:hi]) */
  readonly root: (lo: number, hi: number) => Hash
  /** PATH(m, D[lo:hi]), m counted from lo */
  readonly path: (m: number, lo: number, hi: number) => Hash[]
  /** PROOF(m, D[0:n]) */
  readonly proof: (m: number, n: number) => Hash[]
}

/** The hashes of ranges are remembered, since the tests ask for the same ones many thousand times. */
export function referenceTree(entries: readonly Uint8Array[]): ReferenceTree {
  const known = new Map<string, Hash>()

  function root(lo: number, hi: number): Hash {
    const key = `${lo} ${hi}`
    const found = known.get(key) ?? computeRoot(lo, hi)
    known.set(key, found)
    return found
  }

  function computeRoot(lo: number, hi: number): Hash {
    const n = hi - lo
    if (n === 0) return sha256()
    if (n === 1) return sha256(Uint8Array.of(0x00), entries[lo] as Uint8Array)
    const k = split(n)
    return sha256(Uint8Array.of(0x01), root(lo, lo + k), root(lo + k, hi))
  }

  function path(m: number, lo: number, hi: number): Hash[] {
    const n = hi - lo
    if (n === 1) return []
    const k = split(n)
    if (m < k) return [...path(m, lo, lo + k), root(lo + k, hi)]
    return [...path(m - k, lo + k, hi), root(lo, lo + k)]
  }

  function subproof(m: number, lo: number, hi: number, isOldRoot: boolean): Hash[] {
    const n = hi - lo
    if (m === n) return isOldRoot ? [] : [root(lo, hi)]
    const k = split(n)
    if (m <= k) return [...subproof(m, lo, lo + k, isOldRoot), root(lo + k, hi)]
    return [...subproof(m - k, lo + k, hi, false), root(lo, lo + k)]
  }

  return { root, path, proof: (m, n) => subproof(m, 0, n, true) }
}

/** Tiles of the tree as tlog-tiles defines them: slot i is MTH of the 256^level entries from (256 * index + i) on. */
export function referenceReader(tree: ReferenceTree): TileReader & { readonly reads: string[] } {
  const reads: string[] = []
  const readTile = async (level: number, index: number, width: number): Promise<Uint8Array> => {
    reads.push(`${level}/${index}.${width}`)
    const span = 256 ** level
    const slots = Array.from({ length: width }, (_, i) => (256 * index + i) * span)
    return Uint8Array.from(slots.flatMap((lo) => [...tree.root(lo, lo + span)]))
  }
  return { readTile, reads }
}

/** 32 bytes for each of the entries lo to hi - 1. */
export function leafHashesOf(tree: ReferenceTree, lo: number, hi: number): Uint8Array {
  return Uint8Array.from(Array.from({ length: hi - lo }, (_, i) => [...tree.root(lo + i, lo + i + 1)]).flat())
}

/** One bit of one byte flipped. */
export function corrupted(bytes: Uint8Array, at = 17): Uint8Array {
  return bytes.with(at, (bytes[at] as number) ^ 1)
}

function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

function sha256(...parts: Uint8Array[]): Hash {
  const digest = createHash('sha256')
  for (const part of parts) digest.update(part)
  return new Uint8Array(digest.digest()) as Hash
}
