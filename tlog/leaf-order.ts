import { encodeUtf8, equalBytes, formatHex } from './bytes.ts'
import { chainHash, chainText, genesisHash } from './chain.ts'
import type { SequenceNumber } from './coords.ts'
import { decodeLeaf, type LeafFields } from './entry.ts'
import { TlogError } from './errors.ts'
import { digest, nobleSha256, type Sha256 } from './hash.ts'
import { jcs } from './jcs.ts'
import { parseStrict } from './json-scan.ts'
import { Tape } from './json-tape.ts'

// What leaves of one tree have to do with each other. A proof shows that a leaf is in the tree; that it is the one that
// belongs there, its predecessor shows.

/** What no log may have in its tree, seen in a leaf that is there. */
export type LeafFault = {
  readonly kind: 'LEAF_MALFORMED' | 'GAP_IN_SEQUENCE' | 'CLOCK_BACKWARDS' | 'CHAIN_HASH_BROKEN'
  readonly detail: string
}

export type Payload = Readonly<Record<string, unknown>>

/** What a leaf is, held against the one before it. */
export type LeafInOrder =
  | { readonly kind: 'in-order'; readonly fields: LeafFields; readonly payload: Payload | undefined }
  /** The payload is not the one that the leaf covers: nothing is said of the log. */
  | { readonly kind: 'other-payload' }
  | { readonly kind: 'fault'; readonly fault: LeafFault }

/** What the next leaf is held against. */
export type Predecessor = {
  /** Microseconds since 1970. */
  readonly timestamp: number
  /** Chain hash, 64 lower-case hex digits. */
  readonly currentHash: string
}

/** That of leaf 0. */
export const beforeFirstLeaf: Predecessor = { timestamp: 0, currentHash: genesisHash }

/** A leaf as predecessor of the next one. */
export function predecessorOf({ timestamp, currentHash }: LeafFields): Predecessor {
  return { timestamp, currentHash: formatHex(currentHash) }
}

/**
 * Whether `leaf` may stand at `index` behind `previous`: its form, its sequence number, a time that does not go back,
 * and with the `payload` (RFC 8785 text) its chain hash. Without `previous` the last two are not looked at. Throws
 * `unknown-leaf-format` where the leaf could not be checked.
 */
export function readLeafInOrder(
  index: number,
  leaf: Uint8Array,
  previous: Predecessor | undefined,
  payload: Uint8Array | undefined,
  hash: Sha256 = nobleSha256,
): LeafInOrder {
  const fields = readFields(index, leaf)
  if ('detail' in fields) return { kind: 'fault', fault: fields }
  const fault = placeFault(index, fields, previous)
  if (fault !== undefined) return { kind: 'fault', fault }
  if (payload === undefined) return { kind: 'in-order', fields, payload }
  if (!equalBytes(digest(payload, hash), fields.payloadHash)) return { kind: 'other-payload' }
  return readPayload(fields, previous, payload, hash)
}

function readFields(index: number, leaf: Uint8Array): LeafFields | LeafFault {
  try {
    return decodeLeaf(leaf)
  } catch (error) {
    if (!(error instanceof TlogError) || error.code !== 'malformed-leaf') throw error
    return { kind: 'LEAF_MALFORMED', detail: `leaf ${index}: ${error.message}` }
  }
}

function placeFault(
  index: number,
  { sequenceNumber, timestamp }: LeafFields,
  previous: Predecessor | undefined,
): LeafFault | undefined {
  if (sequenceNumber !== index + 1) {
    return { kind: 'GAP_IN_SEQUENCE', detail: `leaf ${index} has sequence number ${sequenceNumber}` }
  }
  if (previous === undefined || timestamp >= previous.timestamp) return undefined
  const detail = `entry ${sequenceNumber} is of ${timestamp} us, the entry before of ${previous.timestamp} us`
  return { kind: 'CLOCK_BACKWARDS', detail }
}

function readPayload(
  fields: LeafFields,
  previous: Predecessor | undefined,
  bytes: Uint8Array,
  hash: Sha256,
): LeafInOrder {
  const { sequenceNumber, actorId, action, resource, currentHash } = fields
  const payload = parsePayload(bytes)
  if (payload === undefined) {
    const detail = `entry ${sequenceNumber}: its payload is no JSON object in its canonical form`
    return { kind: 'fault', fault: { kind: 'LEAF_MALFORMED', detail } }
  }
  if (previous === undefined) return { kind: 'in-order', fields, payload }
  const number = sequenceNumber as SequenceNumber
  const got = chainHash(number, actorId, action, resource, chainText(payload), previous.currentHash, hash)
  const want = formatHex(currentHash)
  if (got === want) return { kind: 'in-order', fields, payload }
  const detail = `entry ${sequenceNumber}: its leaf has chain hash ${want}; of its members and the entry before it is ${got}`
  return { kind: 'fault', fault: { kind: 'CHAIN_HASH_BROKEN', detail } }
}

/** As deep as payloads may be. It has 20 KB, too much for each of millions. */
const tape = new Tape(64)

/** A payload from its RFC 8785 text; undefined where it is none. */
function parsePayload(text: Uint8Array): Payload | undefined {
  try {
    const value = parseStrict(text, tape)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject && equalBytes(encodeUtf8(jcs(value)), text) ? (value as Payload) : undefined
  } catch (error) {
    if (error instanceof TlogError) return undefined
    throw error
  }
}
