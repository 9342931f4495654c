import { encodeUtf8 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { isIpAddress } from '../../tlog/ip-address.ts'
import { canonicalLengthMax, writeChainText, writeJcs } from '../../tlog/json-canonical.ts'
import { scan, skipSpace } from '../../tlog/json-scan.ts'
import {
  checkStrict,
  endOf,
  escapedFlag,
  firstChild,
  hasIndexNames,
  kindOf,
  memberValue,
  metaOf,
  nextMember,
  none,
  readNumber,
  readString,
  startOf,
  stringIs,
  stringPoints,
  Tape,
} from '../../tlog/json-tape.ts'
import { parseOccurredAtBytes } from '../../tlog/time.ts'
import { parseUuidV7 } from '../../tlog/uuid.ts'
import type { Arena } from '../log/arena.ts'
import { encodeSubmission, type Provenance, type Submission, type Utf8 } from '../log/submission.ts'

/** What a client may submit (DESIGN section 3); of texts, Unicode code points. */
export const actorIdPointsMax = 255
export const actionPointsMax = 100
export const resourcePointsMax = 255
export const clientIpPointsMax = 45
/** Actions of the log's own entries begin so. */
export const reservedAction = 'dendrolog.'
export const payloadBytesMax = 1_048_576
export const payloadDepthMax = 64
/**
 * Bytes of a whole record as it comes. Three times as long is a payload whose letters are all escaped (`\u0444`); the
 * rest is for white space and the other members.
 */
export const recordBytesMax: number = 4 * payloadBytesMax + 65_536
/**
 * Values and member names of a record, each of which takes 16 bytes while it is read: a payload of 1 MiB has at most half
 * as many, since each takes two bytes of its canonical text.
 */
const nodesMax = 1_048_576
/** A number grows by 21 bytes at most, and only one is not in the payload. */
const lamportGrowthMax = 24
const canonicalBytesMin = 65_536
/** Room for what is accepted; a larger buffer is let go with the next record. */
const canonicalKeptMax = 4 * payloadBytesMax
/** How a member that the server encrypted is marked: a client's payload must not look like one. */
const encryptedName = Buffer.from('"dendrolog:enc":')
const reservedActionPrefix = encodeUtf8(reservedAction)

/** Who sends the records, and what stands in where they leave something out. */
export type RecordContext = {
  readonly provenance: Provenance
  /** Stands in for `clientIp`. */
  readonly peerAddress: Utf8
  readonly makeId: () => Uint8Array
  readonly sha256: Sha256
}

export const memberNames: readonly [
  'id',
  'actorId',
  'action',
  'resource',
  'payload',
  'clientIp',
  'occurredAt',
  'lamport',
] = ['id', 'actorId', 'action', 'resource', 'payload', 'clientIp', 'occurredAt', 'lamport']
type MemberName = (typeof memberNames)[number]
/** Places of the names in `memberNames`. */
const [id, actorId, action, resource, payload, clientIp, occurredAt, lamport] = [0, 1, 2, 3, 4, 5, 6, 7] as const
const required: readonly number[] = [actorId, action, resource, payload]
export const requiredNames: readonly string[] = required.map((i) => memberNames[i] as MemberName)
const everyName: readonly number[] = memberNames.map((_, i) => i)
/** The names that begin with a byte: one or two to compare with. */
const namesByFirstByte: readonly (readonly number[])[] = Array.from({ length: 256 }, (_, byte) =>
  everyName.filter((i) => memberNames[i]?.charCodeAt(0) === byte),
)

/**
 * Reads submissions from JSON bytes, one after the other, without building objects of them. Reused: what it returns
 * lies in the arena, everything else is overwritten by the next record.
 */
export class RecordReader {
  // The record is one level around the payload.
  readonly #tape = new Tape(payloadDepthMax, 1, nodesMax)
  #canonical = Buffer.alloc(canonicalBytesMin)
  /** Of the record that was scanned last: the value node of each member, `none` where it is absent. */
  readonly #nodes = new Int32Array(memberNames.length)

  /**
   * The JSON value at bytes[start, end) as a submission; white space around it is skipped. Throws `malformed-json`,
   * `json-not-strict` or `malformed-submission`, the last two with the pointer of the member.
   */
  read(bytes: Uint8Array, start: number, end: number, arena: Arena, context: RecordContext): Submission {
    checkRecordBytes(end - start)
    const after = skipSpace(bytes, this.scan(bytes, start, end), end)
    if (after < end) throw new TlogError('malformed-json', `JSON, byte ${after - start}: text after the value`)
    return this.submission(arena, context)
  }

  /**
   * Scans the value at `start` and returns the position behind it; violations are kept. Syntax errors throw with the
   * offset from `origin`.
   */
  scan(bytes: Uint8Array, start: number, end: number, origin: number = start): number {
    return scan(bytes, skipSpace(bytes, start, end), end, this.#tape, origin)
  }

  /** The submission in the value that was scanned last. */
  submission(arena: Arena, context: RecordContext): Submission {
    checkStrict(this.#tape)
    this.#findMembers()
    const jcsText = this.#readPayload(this.#node(payload))
    const fields = {
      eventId: this.#has(id) ? this.#readId(this.#node(id)) : context.makeId(),
      clientMadeId: this.#has(id),
      occurredAt: this.#has(occurredAt) ? this.#readOccurredAt(this.#node(occurredAt)) : null,
      lamport: this.#has(lamport) ? this.#readLamport(this.#node(lamport)) : null,
      actorId: this.#readText(this.#node(actorId), 'actorId', actorIdPointsMax),
      action: this.#readAction(this.#node(action)),
      resource: this.#readText(this.#node(resource), 'resource', resourcePointsMax),
      clientIp: this.#has(clientIp) ? this.#readAddress(this.#node(clientIp)) : context.peerAddress,
      jcsText,
      chainText: this.#chainText(this.#node(payload), jcsText),
    }
    return encodeSubmission(arena, fields, context.provenance, context.sha256)
  }

  #findMembers(): void {
    const tape = this.#tape
    if (kindOf(tape, 0) !== 'object') throw refuse('', `want an object, got ${kindOf(tape, 0)}`)
    this.#nodes.fill(none)
    for (let name = firstChild(tape, 0); name !== none; name = nextMember(tape, 0, name)) {
      this.#nodes[this.#findName(name)] = memberValue(name)
    }
    for (const name of required) if (!this.#has(name)) throw refuse(`/${memberNames[name]}`, 'is required')
  }

  /** The place in `memberNames` of the name at `node`. */
  #findName(node: number): number {
    const tape = this.#tape
    const candidates = this.#isEscaped(node) ? everyName : namesByFirstByte[tape.bytes[startOf(tape, node) + 1] ?? 0]
    for (const i of candidates ?? everyName) if (stringIs(tape, node, memberNames[i] as MemberName)) return i
    const name = readString(tape, node)
    throw refuse(`/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, 'is not a member of a submission')
  }

  #has(name: number): boolean {
    return this.#nodes[name] !== none
  }

  #node(name: number): number {
    return this.#nodes[name] as number
  }

  #readId(node: number): Uint8Array {
    this.#expect(node, 'string', 'id')
    return translate('/id', () => parseUuidV7(readString(this.#tape, node)))
  }

  #readOccurredAt(node: number): number {
    this.#expect(node, 'string', 'occurredAt')
    const { bytes, start, end } = this.#utf8(node)
    return translate('/occurredAt', () => parseOccurredAtBytes(bytes, start, end))
  }

  #readLamport(node: number): number {
    this.#expect(node, 'number', 'lamport')
    const n = readNumber(this.#tape, node)
    if (!Number.isSafeInteger(n) || n < 0) throw refuse('/lamport', 'want an integer of 0 to 2^53-1')
    return n
  }

  #readAction(node: number): Utf8 {
    const action = this.#readText(node, 'action', actionPointsMax)
    if (startsWith(action, reservedActionPrefix)) throw refuse('/action', 'the prefix "dendrolog." is reserved')
    return action
  }

  #readAddress(node: number): Utf8 {
    this.#expect(node, 'string', 'clientIp')
    if (!isIpAddress(readString(this.#tape, node))) throw refuse('/clientIp', 'want an IPv4 or IPv6 address, no zone')
    return this.#utf8(node)
  }

  #readText(node: number, name: MemberName, pointsMax: number): Utf8 {
    this.#expect(node, 'string', name)
    const points = stringPoints(this.#tape, node)
    if (points < 1 || points > pointsMax) throw refuse(`/${name}`, `want 1 to ${pointsMax} characters, got ${points}`)
    return this.#utf8(node)
  }

  #readPayload(node: number): Utf8 {
    this.#expect(node, 'object', 'payload')
    // A few bytes of number can have many: that alone may be too much, and must not be given room for.
    if (this.#tape.numberGrowth > payloadBytesMax + lamportGrowthMax) {
      throw refuse('/payload', `more than ${payloadBytesMax} bytes of canonical JSON`)
    }
    const bytesMax = canonicalLengthMax(this.#tape, node)
    // The canonical text is written twice where the chain's differs, one behind the other.
    const isTooSmall = 2 * bytesMax > this.#canonical.length
    if (isTooSmall || this.#canonical.length > canonicalKeptMax) {
      this.#canonical = Buffer.alloc(Math.max(2 * bytesMax, canonicalBytesMin))
    }
    const end = writeJcs(this.#tape, node, this.#canonical, 0)
    if (end > payloadBytesMax) throw refuse('/payload', `${end} bytes of canonical JSON, limit ${payloadBytesMax}`)
    // In canonical text a quote within a string is escaped, so this can only be a member's name.
    if (this.#canonical.subarray(0, end).includes(encryptedName)) {
      throw refuse('/payload', 'the member name "dendrolog:enc" is reserved')
    }
    return { bytes: this.#canonical, start: 0, end }
  }

  #chainText(node: number, jcsText: Utf8): Utf8 {
    if (!hasIndexNames(this.#tape, node)) return jcsText
    const start = jcsText.end
    return { bytes: this.#canonical, start, end: writeChainText(this.#tape, node, this.#canonical, start) }
  }

  #expect(node: number, want: string, name: MemberName): void {
    const got = kindOf(this.#tape, node)
    if (got !== want) throw refuse(`/${name}`, `want ${want}, got ${got}`)
  }

  #isEscaped(node: number): boolean {
    return (metaOf(this.#tape, node) & escapedFlag) !== 0
  }

  /** The UTF-8 of a string node: where it stands, or unescaped. */
  #utf8(node: number): Utf8 {
    const tape = this.#tape
    if (!this.#isEscaped(node)) {
      return { bytes: tape.bytes, start: startOf(tape, node) + 1, end: endOf(tape, node) - 1 }
    }
    const bytes = encodeUtf8(readString(tape, node))
    return { bytes, start: 0, end: bytes.length }
  }
}

/** Throws `malformed-submission` for a record of so many bytes that reading them all would keep others waiting. */
export function checkRecordBytes(bytes: number): void {
  if (bytes > recordBytesMax) throw refuse('', `${bytes} bytes, limit ${recordBytesMax}`)
}

function refuse(pointer: string, reason: string): TlogError {
  const name = pointer === '' ? 'submission' : pointer.slice(1, 80)
  return new TlogError('malformed-submission', `${name}: ${reason}`, { pointer })
}

/** Gives an error of a value's parser the place of the value. */
function translate<T>(pointer: string, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    throw new TlogError('malformed-submission', `${pointer.slice(1)}: ${cause.message}`, { cause, pointer })
  }
}

function startsWith(text: Utf8, prefix: Uint8Array): boolean {
  if (text.end - text.start < prefix.length) return false
  for (let i = 0; i < prefix.length; i++) if (text.bytes[text.start + i] !== prefix[i]) return false
  return true
}
