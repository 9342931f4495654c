import { encodeUtf8 } from '../../tlog/bytes.ts'
import { hashBytes } from '../../tlog/hash.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { escapeBytesMax, JsonWriter } from './json-writer.ts'
import type { EntryWithLeaf } from './receipt.ts'

/** JSON of an entry, UTF-8; the same members everywhere, those of `entryMembers` and three more. */
export function entryJson(entry: EntryWithLeaf): Uint8Array<ArrayBuffer> {
  const json = new JsonWriter(entryJsonBytesMax(entry))
  writeEntryJson(json, entry)
  return json.take()
}

/** The answer to a submission that waits for no checkpoint: `{"entry": ...}`. */
export function entryOnlyJson(entry: EntryWithLeaf): Uint8Array<ArrayBuffer> {
  const json = new JsonWriter(entryJsonBytesMax(entry))
  json.ascii('{"entry":')
  writeEntryJson(json, entry)
  json.ascii('}')
  return json.take()
}

/** No entry takes more: the texts of its leaf escaped, hex of four hashes, times, names, and the payload. */
export function entryJsonBytesMax({ leaf, payload }: EntryWithLeaf): number {
  return escapeBytesMax * leaf.length + payload.end - payload.start + 1_024
}

/**
 * Writes an entry from its leaf, so that the members are what the leaf says. The leaf is one of our own making: its
 * elements are taken as they come (`decodeLeaf` is for leaves of others).
 */
export function writeEntryJson(json: JsonWriter, { leaf, leafHash, previousHash, payload }: EntryWithLeaf): void {
  cursor.open(leaf)
  json.raw(names.sequenceNumber)
  json.integer(cursor.integer())
  json.raw(names.id)
  writeUuid(json, leaf, cursor.bytes())
  json.raw(names.timestamp)
  json.ascii(batchTime(cursor.integer()))
  json.raw(names.occurredAt)
  const occurredAt = cursor.integerOrNull()
  json.ascii(occurredAt === null ? 'null' : `"${formatMicroseconds(occurredAt)}"`)
  json.raw(names.lamport)
  const lamport = cursor.integerOrNull()
  if (lamport === null) json.ascii('null')
  else json.integer(lamport)
  for (const name of textNames) {
    json.raw(name)
    writeTextOrNull(json, leaf)
  }
  json.raw(names.payloadHash)
  writeHash(json, leaf, cursor.bytes())
  json.raw(names.previousHash)
  writeHash(json, previousHash, 0)
  json.raw(names.currentHash)
  writeHash(json, leaf, cursor.bytes())
  json.raw(names.leafHash)
  writeHash(json, leafHash, 0)
  json.raw(names.payload)
  json.raw(payload.bytes, payload.start, payload.end)
  json.raw(names.end)
}

/** What stands before each value; that of a text with its own quote is in the text. */
const names = {
  sequenceNumber: encodeUtf8('{"sequenceNumber":'),
  id: encodeUtf8(',"id":"'),
  timestamp: encodeUtf8('","timestamp":"'),
  occurredAt: encodeUtf8('","occurredAt":'),
  lamport: encodeUtf8(',"lamport":'),
  payloadHash: encodeUtf8(',"payloadHash":"'),
  previousHash: encodeUtf8('","previousHash":"'),
  currentHash: encodeUtf8('","currentHash":"'),
  leafHash: encodeUtf8('","leafHash":"'),
  payload: encodeUtf8('","payload":'),
  end: encodeUtf8('}'),
}
const textNames = ['actorId', 'action', 'resource', 'clientIp', 'writer', 'sourcePosition'].map((name) =>
  encodeUtf8(`,"${name}":`),
)

/** Entries of a batch have one time, and are answered one after the other. */
let lastTime = -1
let lastTimeText = ''

function batchTime(us: number): string {
  if (us !== lastTime) {
    lastTime = us
    lastTimeText = formatMicroseconds(us)
  }
  return lastTimeText
}

function writeHash(json: JsonWriter, bytes: Uint8Array, at: number): void {
  json.hex(bytes, at, at + hashBytes)
}

/** 8-4-4-4-12 digits of 16 bytes. */
function writeUuid(json: JsonWriter, bytes: Uint8Array, at: number): void {
  json.hex(bytes, at, at + 4)
  for (const from of [4, 6, 8]) {
    json.ascii('-')
    json.hex(bytes, at + from, at + from + 2)
  }
  json.ascii('-')
  json.hex(bytes, at + 10, at + 16)
}

function writeTextOrNull(json: JsonWriter, leaf: Uint8Array): void {
  if (cursor.skipNull()) json.ascii('null')
  else {
    const start = cursor.bytes()
    json.string({ bytes: leaf, start, end: cursor.at })
  }
}

/** Steps through the elements of a leaf. */
class LeafCursor {
  #leaf: Uint8Array = new Uint8Array(0)
  at = 0

  /** Stands behind the array's head and the format. */
  open(leaf: Uint8Array): void {
    this.#leaf = leaf
    this.at = 2
  }

  /** The argument of the next head: an integer, or a length. */
  integer(): number {
    const width = (this.#leaf[this.at++] as number) & 31
    if (width < 24) return width
    let n = 0
    for (let left = 2 ** (width - 24); left > 0; left--) n = n * 256 + (this.#leaf[this.at++] as number)
    return n
  }

  integerOrNull(): number | null {
    return this.skipNull() ? null : this.integer()
  }

  /** Where the bytes of a byte or text string begin; `at` is behind them. */
  bytes(): number {
    const length = this.integer()
    this.at += length
    return this.at - length
  }

  skipNull(): boolean {
    if (this.#leaf[this.at] !== 0xf6) return false
    this.at++
    return true
  }
}

const cursor = new LeafCursor()
