import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { formatHex, parseBase64 } from '../../tlog/bytes.ts'
import { asTreeSize, type LeafIndex, type LeafRange, type TreeSize } from '../../tlog/coords.ts'
import type { Hash } from '../../tlog/hash.ts'
import { planConsistencyProof, planInclusionProof, readHashesOfPlan } from '../../tlog/proof.ts'
import {
  checkSubtreeConsistency,
  checkSubtreeInclusion,
  coveringSubtrees,
  isSubtree,
  planSubtreeConsistencyProof,
  planSubtreeInclusionProof,
} from '../../tlog/subtree.ts'
import { corrupted, referenceReader, referenceTree } from './reference-tree.ts'

const vectors = new URL('../vectors/merkle/', import.meta.url)
const accumulated = JSON.parse(readFileSync(new URL('accumulated-subtrees.json', vectors), 'utf8')) as {
  subtreeHashes: string
  subtreeInclusion: string
  subtreeConsistency: string
  coveringSubtrees: string
}

const sizeMax = 130
const tree = referenceTree(Array.from({ length: sizeMax }, (_, i) => Uint8Array.of(i)))
const subtrees = rangesTo(sizeMax).filter(isSubtree)
const malformed = expect.objectContaining({ code: 'malformed-proof' })
const mismatch = expect.objectContaining({ code: expect.stringMatching(/^(in|con).*-mismatch$/) })

/** All ranges with 0 <= lo <= hi <= max, by end and then by beginning. */
function rangesTo(max: number): LeafRange[] {
  return Array.from({ length: max + 1 }, (_, hi) => Array.from({ length: hi + 1 }, (_, lo) => ({ lo, hi }))).flat()
}

function hashesOf(plan: readonly LeafRange[]): Hash[] {
  return plan.map(({ lo, hi }) => tree.root(lo, hi))
}

function digestOf(lines: readonly string[]): string {
  return createHash('sha256')
    .update(lines.map((line) => `${line}\n`).join(''))
    .digest('hex')
}

function text({ lo, hi }: LeafRange): string {
  return `[${lo}, ${hi})`
}

function line(...parts: readonly (string | Hash)[]): string {
  return parts.map((part) => (typeof part === 'string' ? part : formatHex(part))).join(' ')
}

describe('subtrees to 130 leaves', () => {
  it('are those of the draft, with their hashes', () => {
    const lines = subtrees.map((subtree) => line(text(subtree), tree.root(subtree.lo, subtree.hi)))
    expect(digestOf(lines)).toBe(accumulated.subtreeHashes)
  })

  it('have the inclusion proofs of the draft, and all hold', () => {
    const lines: string[] = []
    for (const subtree of subtrees) {
      for (let index = subtree.lo; index < subtree.hi; index++) {
        const proof = hashesOf(planSubtreeInclusionProof(index as LeafIndex, subtree))
        lines.push(line(`${index} ${text(subtree)}`, ...proof))
        const [leaf, root] = [tree.root(index, index + 1), tree.root(subtree.lo, subtree.hi)]
        checkSubtreeInclusion(index as LeafIndex, subtree, leaf, proof, root, nativeSha256)
      }
    }
    expect(digestOf(lines)).toBe(accumulated.subtreeInclusion)
  })

  it('have the consistency proofs of the draft, and all hold', () => {
    const lines: string[] = []
    for (let size = 0; size <= sizeMax; size++) {
      for (const subtree of subtrees.filter(({ hi }) => hi <= size)) {
        const proof = hashesOf(planSubtreeConsistencyProof(subtree, asTreeSize(size)))
        lines.push(line(`${text(subtree)} ${size}`, ...proof))
        const roots = [tree.root(subtree.lo, subtree.hi), tree.root(0, size)] as const
        checkSubtreeConsistency(subtree, asTreeSize(size), ...roots, proof, nativeSha256)
      }
    }
    expect(digestOf(lines)).toBe(accumulated.subtreeConsistency)
  })

  it('cover each range as the draft has it', () => {
    const lines = rangesTo(sizeMax).map((range) => coveringSubtrees(range).map(text).join(' '))
    expect(digestOf(lines)).toBe(accumulated.coveringSubtrees)
  })

  it('that cover a range are two adjacent subtrees', () => {
    for (const range of rangesTo(sizeMax)) {
      const [left, right] = coveringSubtrees(range)
      expect([isSubtree(left), isSubtree(right), left.hi === right.lo, right.hi]).toEqual([true, true, true, range.hi])
      expect(left.lo).toBeLessThanOrEqual(range.lo)
    }
  })
})

describe('a subtree proof', () => {
  it('of the first leaves is the consistency proof, of one leaf the inclusion proof', () => {
    const size = asTreeSize(100)
    for (let n = 1; n <= 100; n++) {
      expect(planSubtreeConsistencyProof({ lo: 0, hi: n }, size)).toEqual(planConsistencyProof(asTreeSize(n), size))
      const leaf = { lo: n - 1, hi: n }
      expect(planSubtreeConsistencyProof(leaf, size)).toEqual(planInclusionProof((n - 1) as LeafIndex, size))
    }
  })

  it('is computed from tiles', async () => {
    const plan = planSubtreeConsistencyProof({ lo: 64, hi: 101 }, asTreeSize(130))
    expect(await readHashesOfPlan(referenceReader(tree), plan, asTreeSize(130))).toEqual(hashesOf(plan))
  })

  it('with any one hash corrupted, one more or one less is refused', () => {
    const size = asTreeSize(75)
    for (const subtree of subtrees.filter(({ lo, hi }) => hi <= size && hi > lo && hi % 3 === 0)) {
      const proof = hashesOf(planSubtreeConsistencyProof(subtree, size))
      const [inner, root] = [tree.root(subtree.lo, subtree.hi), tree.root(0, size)]
      const check = (innerRoot: Uint8Array, outerRoot: Uint8Array, hashes: Uint8Array[]) => (): void =>
        checkSubtreeConsistency(subtree, size, innerRoot, outerRoot, hashes, nativeSha256)
      for (const [i, hash] of proof.entries()) {
        expect(check(inner, root, (proof as Uint8Array[]).with(i, corrupted(hash)))).toThrow(mismatch)
      }
      expect(check(corrupted(inner), root, proof)).toThrow(mismatch)
      expect(check(inner, corrupted(root), proof)).toThrow(mismatch)
      expect(check(inner, root, [...proof, root])).toThrow(malformed)
      if (proof.length > 0) expect(check(inner, root, proof.slice(1))).toThrow(malformed)
    }
  })

  it('of what is no subtree is refused', () => {
    const zero = new Uint8Array(32)
    for (const range of [
      { lo: 1, hi: 3 },
      { lo: 2, hi: 5 },
      { lo: 3, hi: 2 },
      { lo: -1, hi: 0 },
    ]) {
      expect(() => checkSubtreeConsistency(range, asTreeSize(8), zero, zero, [])).toThrow(malformed)
      expect(() => checkSubtreeInclusion(2 as LeafIndex, range, zero, [], zero)).toThrow(malformed)
      expect(() => planSubtreeConsistencyProof(range, asTreeSize(8))).toThrow(/subtree/)
    }
    expect(() => planSubtreeConsistencyProof({ lo: 0, hi: 9 }, asTreeSize(8))).toThrow(/of 8/)
    expect(() => planSubtreeInclusionProof(3 as LeafIndex, { lo: 4, hi: 8 })).toThrow(/leaf 3/)
  })
})

describe('the probe files of transparency-dev', () => {
  type Probe = {
    leafIdx: number
    start: number
    end: number
    size: number
    root: string
    leafHash: string
    root1: string
    root2: string
    proof: string[] | null
    wantErr: boolean
  }

  function probesOf(folder: string): { name: string; probe: Probe }[] {
    const base = new URL(`transparency-dev/${folder}/`, vectors)
    const names = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'))
    return names.map((name) => ({ name, probe: JSON.parse(readFileSync(new URL(name, base), 'utf8')) as Probe }))
  }

  /** Where they expect acceptance, one root is a line of text: they do not look at lengths there, we do. */
  const exceptions = [
    'additional/sizes-are-equal-one-and-proof-is-empty.json',
    'additional/subtree-is-empty-sizes-are-equal-one-subtree-root-valid-tree-root-random-proof-is-empty.json',
    'additional/subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-tree-root-random-proof-is-empty.json',
  ]

  it('all 322 agree, but three with roots that are not 32 bytes', () => {
    const inclusion = probesOf('subtreeinclusion')
    const consistency = probesOf('subtreeconsistency')
    const differing = [
      ...inclusion.filter(({ probe }) => isRefused(() => checkInclusionProbe(probe)) !== probe.wantErr),
      ...consistency.filter(({ probe }) => isRefused(() => checkConsistencyProbe(probe)) !== probe.wantErr),
    ]
    expect(differing.map(({ name }) => name).sort()).toEqual(exceptions)
    expect(inclusion.length + consistency.length).toBe(322)
  })

  function checkInclusionProbe(c: Probe): void {
    const proof = (c.proof ?? []).map(parseBase64)
    const [leaf, root] = [parseBase64(c.leafHash), parseBase64(c.root)]
    checkSubtreeInclusion(c.leafIdx as LeafIndex, { lo: c.start, hi: c.end }, leaf, proof, root)
  }

  function checkConsistencyProbe(c: Probe): void {
    const proof = (c.proof ?? []).map(parseBase64)
    const [inner, root] = [parseBase64(c.root1), parseBase64(c.root2)]
    checkSubtreeConsistency({ lo: c.start, hi: c.end }, c.size as TreeSize, inner, root, proof)
  }
})

/** Whether a check refuses with an error of ours; any other error is a bug and fails the test. */
function isRefused(check: () => void): boolean {
  try {
    check()
    return false
  } catch (error) {
    expect(error).toMatchObject({ name: 'TlogError' })
    return true
  }
}
