import { copyInto, writeByteString, writeNull, writeTextString, writeUnsignedOrNull } from '../../tlog/cbor.ts'
import { writeLeafHead, writeLeafTail } from '../../tlog/entry.ts'
import { hashBytes, type Sha256 } from '../../tlog/hash.ts'
import { canonicalLengthMax, writeChainText, writeJcs } from '../../tlog/json-canonical.ts'
import { scan } from '../../tlog/json-scan.ts'
import { hasIndexNames, Tape } from '../../tlog/json-tape.ts'
import { type CopiedRow, isNullField, readBigintField, readTimestampField } from '../store/copy-out.ts'
import { columnOf, type ScannedColumn } from '../store/ledger-scan.ts'

/** Places in `RowHashes.bytes`, 32 bytes each. */
export const payloadHashAt = 0
export const chainHashAt: number = hashBytes
export const leafHashAt: number = 2 * hashBytes

/** Columns that no entry is without. */
const needed: readonly ScannedColumn[] = [
  ...(['timestamp', 'actorId', 'action', 'resource', 'payload', 'previousHash', 'currentHash'] as const),
  ...(['clientIp', 'eventId', 'writer', 'payloadHash', 'leafHash'] as const),
]
const neededPlaces = needed.map((name) => columnOf[name])

/** What the chain hash is of. */
const chained: ReadonlySet<ScannedColumn> = new Set(['actorId', 'action', 'resource', 'payload', 'previousHash'])

/** Why no hash can be made of a row: a value that no writer produces. */
export type Unhashable = {
  readonly column: ScannedColumn
  readonly reason: string
  /** Whether the chain hash is of this column too; otherwise it is the leaf alone that cannot be made. */
  readonly isChained: boolean
}

const textBytesMax = 1_024
const bar = 0x7c
const zero = 0x30

/**
 * What the hashes of an entry are, from its columns alone (DESIGN section 3): payload, chain, leaf. The sequence number
 * and the previous hash are the row's own. Nothing is allocated for a row that is as it should be.
 */
export class RowHashes {
  /** The three hashes of the last row. */
  readonly bytes: Uint8Array = new Uint8Array(3 * hashBytes)
  /** The chain hash that the row says, 32 bytes; zeros where it is no hex. */
  readonly saidChainHash: Uint8Array = new Uint8Array(hashBytes)
  readonly #sha256: Sha256
  readonly #tape = new Tape()
  #text = new Uint8Array(8_192)
  readonly #leaf = new Uint8Array(8_192)

  constructor(sha256: Sha256) {
    this.#sha256 = sha256
  }

  /** Hashes a row. Undefined where all three hashes are made; those that could not be made are zeros otherwise. */
  hash(row: CopiedRow): Unhashable | undefined {
    this.bytes.fill(0)
    const problem = findNull(row) ?? this.#hashChain(row)
    const saidProblem = this.#readSaid(row)
    return problem ?? saidProblem ?? this.hashLeaf(row, this.saidChainHash)
  }

  /** The leaf hash with another chain hash than the row says. */
  hashLeaf(row: CopiedRow, chainHash: Uint8Array): Unhashable | undefined {
    const sequenceNumber = readBigintField(row, columnOf.sequenceNumber)
    const timestamp = readTimestampField(row, columnOf.timestamp)
    if (!isCount(timestamp)) return unhashable('timestamp', 'is outside of what entries can have')
    const occurredAt = isNullField(row, columnOf.occurredAt) ? null : readTimestampField(row, columnOf.occurredAt)
    if (occurredAt !== null && !isCount(occurredAt))
      return unhashable('occurredAt', 'is outside of what entries can have')
    const lamport = isNullField(row, columnOf.lamport) ? null : readBigintField(row, columnOf.lamport)
    if (lamport !== null && !isCount(lamport)) return unhashable('lamport', 'is outside of what entries can have')
    const out = this.#leaf
    out[0] = 0
    let at = writeLeafHead(out, 1, sequenceNumber, row.bytes, startOf(row, 'eventId'), timestamp)
    at = writeUnsignedOrNull(out, at, occurredAt)
    at = writeUnsignedOrNull(out, at, lamport)
    for (const name of ['actorId', 'action', 'resource', 'clientIp', 'writer', 'sourcePosition'] as const) {
      if (name === 'sourcePosition' && isNullField(row, columnOf.sourcePosition)) {
        at = writeNull(out, at)
        continue
      }
      if (lengthOf(row, name) > textBytesMax) return unhashable(name, `has more than ${textBytesMax} bytes`)
      at = writeTextString(out, at, row.bytes, startOf(row, name), endOf(row, name))
    }
    at = writeByteString(out, at, this.bytes, payloadHashAt, payloadHashAt + hashBytes)
    at = writeLeafTail(out, at, chainHash, 0)
    this.#sha256(out, 0, at, this.bytes, leafHashAt)
    return undefined
  }

  /** Chain text as DESIGN section 3 has it, and the payload's own hash on the way. */
  #hashChain(row: CopiedRow): Unhashable | undefined {
    const payloadStart = startOf(row, 'payload') + 1
    const payloadEnd = endOf(row, 'payload')
    scan(row.bytes, payloadStart, payloadEnd, this.#tape)
    const { violation } = this.#tape
    if (violation !== undefined)
      return unhashable('payload', `${violation.reason} at ${JSON.stringify(violation.pointer)}`)
    const payloadMax = canonicalLengthMax(this.#tape, 0)
    const out = this.#room(2 * payloadMax + row.bytes.length)
    let at = writeDecimal(out, readBigintField(row, columnOf.sequenceNumber))
    for (const name of ['actorId', 'action', 'resource'] as const) {
      at = writeBars(out, at)
      at = copyInto(out, at, row.bytes, startOf(row, name), endOf(row, name))
    }
    const chainStart = writeBars(out, at)
    const chainEnd = writeChainText(this.#tape, 0, out, chainStart)
    at = writeBars(out, chainEnd)
    at = copyInto(out, at, row.bytes, startOf(row, 'previousHash'), endOf(row, 'previousHash'))
    this.#sha256(out, 0, at, this.bytes, chainHashAt)
    if (hasIndexNames(this.#tape, 0)) {
      this.#sha256(out, at, writeJcs(this.#tape, 0, out, at), this.bytes, payloadHashAt)
    } else {
      this.#sha256(out, chainStart, chainEnd, this.bytes, payloadHashAt)
    }
    return undefined
  }

  #readSaid(row: CopiedRow): Unhashable | undefined {
    const isHex = readHex(row.bytes, startOf(row, 'currentHash'), lengthOf(row, 'currentHash'), this.saidChainHash)
    if (isHex) return undefined
    this.saidChainHash.fill(0)
    return unhashable('currentHash', 'is no lower-case hex of 32 bytes')
  }

  #room(bytes: number): Uint8Array {
    if (this.#text.length < bytes) this.#text = new Uint8Array(2 * bytes)
    return this.#text
  }
}

/** Whether the column holds the 32 bytes at `hashes[start]`. */
export function holdsHash(
  row: CopiedRow,
  name: 'payloadHash' | 'leafHash',
  hashes: Uint8Array,
  start: number,
): boolean {
  return lengthOf(row, name) === hashBytes && equalAt(row.bytes, startOf(row, name), hashes, start)
}

export function equalAt(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number): boolean {
  for (let i = 0; i < hashBytes; i++) if (a[aStart + i] !== b[bStart + i]) return false
  return true
}

export function startOf(row: CopiedRow, name: ScannedColumn): number {
  return row.starts[columnOf[name]] as number
}

export function lengthOf(row: CopiedRow, name: ScannedColumn): number {
  return row.lengths[columnOf[name]] as number
}

export function endOf(row: CopiedRow, name: ScannedColumn): number {
  return startOf(row, name) + lengthOf(row, name)
}

function findNull(row: CopiedRow): Unhashable | undefined {
  for (const [i, place] of neededPlaces.entries()) {
    if (row.lengths[place] === -1) return unhashable(needed[i] as ScannedColumn, 'is null')
  }
  return undefined
}

function unhashable(column: ScannedColumn, reason: string): Unhashable {
  return { column, reason, isChained: chained.has(column) }
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0
}

function writeBars(out: Uint8Array, at: number): number {
  out[at] = bar
  out[at + 1] = bar
  return at + 2
}

/** At the beginning of `out`; returns the position behind. */
function writeDecimal(out: Uint8Array, n: number): number {
  let end = 1
  for (let rest = n; rest >= 10; rest = Math.floor(rest / 10)) end++
  for (let at = end, rest = n; at > 0; rest = Math.floor(rest / 10)) out[--at] = zero + (rest % 10)
  return end
}

/** Lower-case hex of 32 bytes at bytes[start]; false where it is something else. */
function readHex(bytes: Uint8Array, start: number, length: number, out: Uint8Array): boolean {
  if (length !== 2 * hashBytes) return false
  let bad = 0
  for (let i = 0; i < hashBytes; i++) {
    const high = hexValues[bytes[start + 2 * i] as number] as number
    const low = hexValues[bytes[start + 2 * i + 1] as number] as number
    bad |= high | low
    out[i] = (high << 4) | low
  }
  return (bad & 0x80) === 0
}

/** 0x80 for what is no digit. */
const hexValues = Uint8Array.from({ length: 256 }, (_, code) => {
  const place = '0123456789abcdef'.indexOf(String.fromCharCode(code))
  return place < 0 ? 0x80 : place
})
