import { equalBytes } from '../../tlog/bytes.ts'
import { type CompactRange, emptyRange, extendRange } from '../../tlog/compact-range.ts'
import { asTreeSize, popcount } from '../../tlog/coords.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { rootOfFullTile } from '../../tlog/tile-nodes.ts'
import type { ExpectedNodes } from './expected-nodes.ts'

/** A tile of a range of which it is not known which leaves it has; the likeliest come first. */
export type Dispute = { readonly tile: number; readonly options: readonly Uint8Array[] }

/** Of one node: who altered so many tiles below it as that these do not find them is told by the node itself. */
const choicesMax = 1_000

/**
 * Which leaves disputed tiles have, as far as what a head says proves it: each of its nodes is of tiles of its own, so
 * that what cannot be found below one does not keep those below another from being decided. `leaves` are those of the
 * range as far as they are not disputed; each dispute is of leaves that the head knows.
 */
export function chooseLeaves(
  leaves: Uint8Array,
  disputes: readonly Dispute[],
  expected: ExpectedNodes,
  sha256: Sha256,
): ReadonlyMap<number, Uint8Array> {
  const chosen = new Map<number, Uint8Array>()
  const full = Math.floor(expected.count / tileWidth)
  const before = tilesOf(expected.before)
  const size = before.size + full
  const roots = rootsOf(leaves.subarray(0, full * tileWidth * hashBytes), sha256)
  for (let from = 0, node = 0; from < size; node++) {
    const to = from + largestPower(size - from)
    const below = disputes.filter(({ tile }) => tile < full && from <= before.size + tile && before.size + tile < to)
    const want = expected.packed.subarray(node * hashBytes, (node + 1) * hashBytes)
    const upTo = roots.subarray(0, (to - before.size) * hashBytes)
    const makes = (): boolean =>
      equalBytes(extendRange(before, upTo, () => {}, sha256).hashes.subarray(-hashBytes), want)
    if (below.length > 0) chooseBelow(below, roots, makes, sha256, chosen)
    from = to
  }
  const last = disputes.find(({ tile }) => tile === full)
  const packed = expected.packed.subarray(popcount(size) * hashBytes)
  const ofRest = (option: Uint8Array): Uint8Array => extendRange(emptyRange, option, () => {}, sha256).hashes
  const rest = last?.options.find((option) => equalBytes(ofRest(option), packed))
  if (rest !== undefined) chosen.set(full, rest)
  return chosen
}

/** Puts into `chosen` what makes the node, and its roots into `roots`. */
function chooseBelow(
  disputes: readonly Dispute[],
  roots: Uint8Array,
  makesNode: () => boolean,
  sha256: Sha256,
  chosen: Map<number, Uint8Array>,
): void {
  if (disputes.some(({ options }) => options.length === 0)) return
  const rootsOfOptions = disputes.map(({ options }) => options.map((option) => rootOfFullTile(option, sha256)))
  for (const choice of choicesOf(disputes.map(({ options }) => options.length))) {
    for (const [i, { tile }] of disputes.entries()) {
      roots.set(rootsOfOptions[i]?.[choice[i] ?? 0] ?? [], tile * hashBytes)
    }
    if (!makesNode()) continue
    for (const [i, { tile, options }] of disputes.entries()) {
      const option = options[choice[i] ?? 0]
      if (option !== undefined) chosen.set(tile, option)
    }
    return
  }
}

/** Places of options: the same for all; then for all but one; then the others, as many as there is patience for. */
function* choicesOf(counts: readonly number[]): Generator<readonly number[]> {
  const most = Math.max(...counts)
  for (let option = 0; option < most; option++) yield counts.map((count) => Math.min(option, count - 1))
  for (const [one, count] of counts.entries()) {
    for (let option = 1; option < count; option++) yield counts.map((_, i) => (i === one ? option : 0))
  }
  const all = Math.min(
    choicesMax,
    counts.reduce((product, count) => product * count, 1),
  )
  for (let number = 0; number < all; number++) {
    let rest = number
    yield counts.map((count) => {
      const option = rest % count
      rest = Math.floor(rest / count)
      return option
    })
  }
}

/** The range whose leaves are tiles. */
function tilesOf(range: CompactRange | undefined): CompactRange {
  return range === undefined ? emptyRange : { size: asTreeSize(range.size / tileWidth), hashes: range.hashes }
}

function rootsOf(leaves: Uint8Array, sha256: Sha256): Uint8Array {
  const tileBytes = tileWidth * hashBytes
  const roots = new Uint8Array(leaves.length / tileWidth)
  for (let at = 0; at < leaves.length; at += tileBytes) {
    roots.set(rootOfFullTile(leaves.subarray(at, at + tileBytes), sha256), at / tileWidth)
  }
  return roots
}

function largestPower(n: number): number {
  return 2 ** Math.floor(Math.log2(n))
}
