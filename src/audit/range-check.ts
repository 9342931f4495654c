import { formatHex, readAscii } from '../../tlog/bytes.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { type CopiedRow, readBigintField, readTimestampField } from '../store/copy-out.ts'
import { columnOf } from '../store/ledger-scan.ts'
import type { ExpectedNodes } from './expected-nodes.ts'
import type { FieldClass, RowFinding } from './finding.ts'
import { FindingRuns } from './finding-runs.ts'
import { copyHash, hexAt, hexBytes, hexOrNull, readText } from './hash-text.ts'
import type { ResultBuffers, Workspace } from './range-buffers.ts'
import { nodesAt, type RangeNodes } from './range-nodes.ts'
import { type RangeTiles, type SettledTree, settleTiles, type TileDefect } from './range-tiles.ts'
import {
  chainHashAt,
  equalAt,
  holdsHash,
  leafHashAt,
  lengthOf,
  payloadHashAt,
  type RowHashes,
  startOf,
  type Unhashable,
} from './row-hashes.ts'

/** Entries with sequence numbers above `above`, up to `upTo`: 65,536 from a multiple of that on, or fewer. */
export type EntryRange = { readonly above: number; readonly upTo: number }

/** Where the rows of a range join those of the range before; undefined where the row is not there. */
export type RangeEdge = {
  /** `previous_hash` of the first row, as it is stored, and the chain hash of the last one. */
  readonly firstPreviousHash: string | undefined
  readonly lastChainHash: string | undefined
  /** Microseconds since 1970; NaN where they are not readable. */
  readonly firstTimestamp: number
  readonly lastTimestamp: number
}

/** A run of rows that agree with themselves, but not with the tree: they were written anew. */
export type RewrittenRun = EntryRange & { readonly leafHash: string; readonly tileHash: string }

/** What was found of a range without a look at any other. */
export type RangeResult = EntryRange & {
  readonly rows: number
  readonly edge: RangeEdge
  readonly findings: readonly RowFinding[]
  readonly omitted: FindingRuns['omitted']
  readonly rewritten: readonly RewrittenRun[]
  readonly tileDefects: readonly TileDefect[]
  readonly nodes: RangeNodes
  readonly isComplete: boolean
  /** Whether some entry's id is not known, or under another number. */
  readonly hasOtherIds: boolean
  /** The chain hashes that the rows say, 32 bytes each; zeros where there is no row. */
  readonly chainHashes: Uint8Array
  /** What nodes and chain hashes lie in. */
  readonly buffers: ResultBuffers
}

/** A row whose columns are not what its hashes say. */
type Suspect = {
  readonly problem: Unhashable | undefined
  readonly chainHash: { readonly computed: string | null; readonly stored: string | null } | undefined
  readonly fields: FieldClass
  /** Of the columns; undefined where none can be made. */
  readonly leaf: Uint8Array | undefined
  readonly storedLeaf: Uint8Array | undefined
}

const zeros = '0'.repeat(64)

/** Checks the rows of a range, one after the other, and then the tree that they make. */
export class RangeCheck {
  readonly #range: EntryRange
  readonly #sha256: Sha256
  readonly #hashes: RowHashes
  readonly #room: Workspace & ResultBuffers
  readonly #found = new FindingRuns()
  readonly #leaves: Uint8Array
  readonly #chainHashes: Uint8Array
  readonly #suspects = new Map<number, Suspect>()
  readonly #missing = new Set<number>()
  /** `current_hash` of the last row, as it is stored. */
  readonly #lastHash = new Uint8Array(hexBytes)
  #lastHashLength = -1
  #last: number
  #rows = 0
  #hasOtherIds = false
  #firstPreviousHash: string | undefined
  #firstTimestamp = Number.NaN
  #lastTimestamp = Number.NaN

  /** What is in the buffers before does not matter; until the end of the check they are nobody else's. */
  constructor(range: EntryRange, hashes: RowHashes, room: Workspace & ResultBuffers, sha256: Sha256) {
    this.#range = range
    this.#sha256 = sha256
    this.#hashes = hashes
    this.#room = room
    this.#last = range.above
    const bytes = hashBytes * (range.upTo - range.above)
    this.#leaves = room.leaves.subarray(0, bytes).fill(0)
    this.#chainHashes = room.chainHashes.subarray(0, bytes).fill(0)
  }

  /** Rows come in the order of their numbers, none from outside of the range. */
  take(row: CopiedRow): void {
    this.#rows++
    const n = readBigintField(row, columnOf.sequenceNumber)
    if (n <= this.#last) {
      this.#found.add({ kind: 'GAP_IN_SEQUENCE', sequenceNumber: n, lastSequenceNumber: n, isRepeated: true })
      return
    }
    if (n > this.#last + 1) this.#addGap(n - 1)
    this.#checkLink(n, row)
    this.#checkTime(n, row)
    this.#checkHashes(n - this.#range.above - 1, row)
    this.#keepHash(row)
    if (readBigintField(row, columnOf.knownAs) !== n) this.#hasOtherIds = true
    this.#last = n
  }

  /** Number of the last row that came, or of the last before the range. */
  get last(): number {
    return this.#last
  }

  /** In the place of a row that is there, and that nobody can read. */
  takeUnreadable(n: number, reason: string): void {
    this.#rows++
    if (n > this.#last + 1) this.#addGap(n - 1)
    this.#missing.add(n - this.#range.above - 1)
    const chainHash = { computed: null, stored: null, reason: `cannot be read: ${reason}` }
    this.#found.add({ kind: 'PAYLOAD_CORRUPT', sequenceNumber: n, lastSequenceNumber: n, fields: 'payload', chainHash })
    this.#lastHashLength = -1
    this.#lastTimestamp = Number.NaN
    this.#last = n
  }

  /** When all rows came. `expected` as for settleTiles. */
  end(tiles: RangeTiles, expected: readonly ExpectedNodes[]): RangeResult {
    const { above, upTo } = this.#range
    if (this.#last < upTo) this.#addGap(upTo)
    const isEndThere = !this.#missing.has(upTo - above - 1)
    const computed = new Map<number, Uint8Array>()
    for (const [place, { leaf, storedLeaf }] of this.#suspects) {
      if (leaf !== undefined) computed.set(place, leaf)
      if (leaf === undefined && storedLeaf === undefined) this.#missing.add(place)
    }
    const rows = { stored: this.#leaves, computed, missing: this.#missing }
    const tree = settleTiles(above / tileWidth, rows, tiles, expected, this.#room, this.#sha256)
    this.#reportSuspects(tree, tiles)
    return {
      ...this.#range,
      rows: this.#rows,
      edge: {
        firstPreviousHash: this.#firstPreviousHash,
        lastChainHash: isEndThere ? this.#lastHashText() : undefined,
        firstTimestamp: this.#firstTimestamp,
        lastTimestamp: this.#lastTimestamp,
      },
      findings: this.#found.inOrder(),
      omitted: this.#found.omitted,
      rewritten: this.#findRewritten(tree),
      tileDefects: tree.defects,
      nodes: tree.nodes,
      isComplete: tree.isComplete,
      hasOtherIds: this.#hasOtherIds,
      chainHashes: this.#chainHashes,
      buffers: { nodes: this.#room.nodes, chainHashes: this.#room.chainHashes },
    }
  }

  #addGap(to: number): void {
    const from = this.#last + 1
    for (let n = from; n <= to; n++) this.#missing.add(n - this.#range.above - 1)
    this.#found.add({ kind: 'GAP_IN_SEQUENCE', sequenceNumber: from, lastSequenceNumber: to, isRepeated: false })
    if (from === 1) {
      this.#found.add({
        kind: 'GENESIS_TAMPER',
        sequenceNumber: 1,
        lastSequenceNumber: 1,
        isMissing: true,
        previousHash: null,
      })
    }
    this.#lastHashLength = -1
    this.#lastTimestamp = Number.NaN
    this.#last = to
  }

  #checkLink(n: number, row: CopiedRow): void {
    if (n === this.#range.above + 1) this.#firstPreviousHash = readText(row, 'previousHash')
    if (n === 1 && this.#firstPreviousHash !== zeros) {
      const previousHash = this.#firstPreviousHash ?? null
      this.#found.add({
        kind: 'GENESIS_TAMPER',
        sequenceNumber: 1,
        lastSequenceNumber: 1,
        isMissing: false,
        previousHash,
      })
    }
    // The first of the range is for who joins the ranges; behind a gap there is no predecessor.
    if (this.#lastHashLength < 0 || this.#isLinked(row)) return
    this.#found.add({
      kind: 'CHAIN_HASH_BROKEN',
      sequenceNumber: n,
      lastSequenceNumber: n,
      previousHash: readText(row, 'previousHash') ?? null,
      predecessorsHash: this.#lastHashText() ?? null,
    })
  }

  #isLinked(row: CopiedRow): boolean {
    const length = lengthOf(row, 'previousHash')
    if (length !== hexBytes || this.#lastHashLength !== hexBytes) return false
    const start = startOf(row, 'previousHash')
    for (let i = 0; i < hexBytes; i++) if (row.bytes[start + i] !== this.#lastHash[i]) return false
    return true
  }

  #checkTime(n: number, row: CopiedRow): void {
    const timestamp = readTimestampField(row, columnOf.timestamp)
    if (n === this.#range.above + 1) this.#firstTimestamp = timestamp
    if (timestamp < this.#lastTimestamp) {
      this.#found.add({
        kind: 'CLOCK_BACKWARDS',
        sequenceNumber: n,
        lastSequenceNumber: n,
        timestamp,
        predecessorsTimestamp: this.#lastTimestamp,
      })
    }
    this.#lastTimestamp = timestamp
  }

  #checkHashes(place: number, row: CopiedRow): void {
    const problem = this.#hashes.hash(row)
    const { bytes, saidChainHash } = this.#hashes
    this.#chainHashes.set(saidChainHash, place * hashBytes)
    if (lengthOf(row, 'leafHash') === hashBytes) copyHash(row, startOf(row, 'leafHash'), this.#leaves, place)
    const isWhole =
      problem === undefined &&
      equalAt(bytes, chainHashAt, saidChainHash, 0) &&
      holdsHash(row, 'leafHash', bytes, leafHashAt) &&
      holdsHash(row, 'payloadHash', bytes, payloadHashAt)
    if (isWhole) return
    const suspect = this.#suspectOf(row, problem)
    this.#suspects.set(place, suspect)
    if (suspect.storedLeaf === undefined && suspect.leaf !== undefined) {
      this.#leaves.set(suspect.leaf, place * hashBytes)
    }
  }

  #suspectOf(row: CopiedRow, problem: Unhashable | undefined): Suspect {
    const { bytes, saidChainHash } = this.#hashes
    const leaf = problem === undefined ? bytes.slice(leafHashAt, leafHashAt + hashBytes) : undefined
    const start = startOf(row, 'leafHash')
    const storedLeaf = lengthOf(row, 'leafHash') === hashBytes ? row.bytes.slice(start, start + hashBytes) : undefined
    const isChainMade = problem === undefined || !(problem.isChained || problem.column === 'currentHash')
    const isChainRight = isChainMade && equalAt(bytes, chainHashAt, saidChainHash, 0)
    if (isChainRight) {
      const isPayloadHash = holdsHash(row, 'payloadHash', bytes, payloadHashAt)
      return { problem, chainHash: undefined, fields: leafFields(problem, isPayloadHash), leaf, storedLeaf }
    }
    const computed = isChainMade ? formatHex(bytes.subarray(chainHashAt, chainHashAt + hashBytes)) : null
    const chainHash = { computed, stored: readText(row, 'currentHash') ?? null }
    return { problem, chainHash, fields: problem?.column ?? this.#chainFields(row), leaf, storedLeaf }
  }

  /** Which columns make the chain hash another than the row says; all of them can be hashed. */
  #chainFields(row: CopiedRow): FieldClass {
    const { bytes } = this.#hashes
    if (!holdsHash(row, 'payloadHash', bytes, payloadHashAt)) return 'payload'
    const chainHash = bytes.slice(chainHashAt, chainHashAt + hashBytes)
    this.#hashes.hashLeaf(row, chainHash)
    if (holdsHash(row, 'leafHash', bytes, leafHashAt)) return 'currentHash'
    return this.#lastHashLength < 0 || this.#isLinked(row) ? 'actorId, action or resource' : 'previousHash'
  }

  #reportSuspects(tree: SettledTree, tiles: RangeTiles): void {
    const leaves = nodesAt(tree.nodes, 0)
    for (const [place, suspect] of this.#suspects) {
      const { problem, chainHash, leaf, storedLeaf, fields } = suspect
      const reason = problem === undefined ? {} : { reason: `${problem.column} ${problem.reason}` }
      const n = this.#range.above + place + 1
      const entries = { sequenceNumber: n, lastSequenceNumber: n }
      if (chainHash !== undefined) {
        this.#found.add({ kind: 'PAYLOAD_CORRUPT', ...entries, fields, chainHash: { ...chainHash, ...reason } })
      }
      const isStoredRight = storedLeaf !== undefined && equalAt(storedLeaf, 0, leaves, place * hashBytes)
      // What the chain hash tells already explains a leaf of other columns, but not another stored leaf hash.
      if (chainHash !== undefined && isStoredRight) continue
      const isLeafRight = leaf !== undefined && equalAt(leaf, 0, leaves, place * hashBytes)
      const tile = tiles.leaves[Math.floor(place / tileWidth)]?.hashes
      const start = (place % tileWidth) * hashBytes
      this.#found.add({
        kind: 'LEAF_MISMATCH',
        ...entries,
        fields: chainHash !== undefined || (isLeafRight && !isStoredRight) ? 'leafHash' : fields,
        leafHash: {
          computed: hexOrNull(leaf),
          stored: hexOrNull(storedLeaf),
          tile: tile === undefined ? null : formatHex(tile.subarray(start, start + hashBytes)),
          ...reason,
        },
      })
    }
  }

  /** Rows without a fault of their own whose leaf is not the tree's. */
  #findRewritten(tree: SettledTree): RewrittenRun[] {
    const runs: RewrittenRun[] = []
    const leaves = nodesAt(tree.nodes, 0)
    const count = leaves.length / hashBytes
    for (const tile of tree.disputed) {
      for (let place = tile * tileWidth; place < Math.min((tile + 1) * tileWidth, count); place++) {
        if (this.#suspects.has(place) || this.#missing.has(place)) continue
        const at = place * hashBytes
        if (equalAt(this.#leaves, at, leaves, at)) continue
        const above = this.#range.above + place
        const last = runs.at(-1)
        if (last !== undefined && last.upTo === above) runs[runs.length - 1] = { ...last, upTo: above + 1 }
        else runs.push({ above, upTo: above + 1, leafHash: hexAt(this.#leaves, at), tileHash: hexAt(leaves, at) })
      }
    }
    return runs
  }

  #keepHash(row: CopiedRow): void {
    const length = lengthOf(row, 'currentHash')
    const start = startOf(row, 'currentHash')
    // Whatever is there now is what the next row must name; what is no hash can be named by none.
    this.#lastHashLength = Math.max(0, length)
    if (length === hexBytes) for (let i = 0; i < hexBytes; i++) this.#lastHash[i] = row.bytes[start + i] as number
  }

  #lastHashText(): string | undefined {
    return this.#lastHashLength === hexBytes ? readAscii(this.#lastHash, 0, hexBytes) : undefined
  }
}

function leafFields(problem: Unhashable | undefined, isPayloadHash: boolean): FieldClass {
  if (problem !== undefined) return problem.column
  return isPayloadHash ? 'timestamp, eventId, occurredAt, lamport, clientIp, writer or sourcePosition' : 'payloadHash'
}
