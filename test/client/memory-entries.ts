/** What a log in memory has beside its tree: entries with payloads, RFC 6962 tree heads. All of it really made. */
import { createHash } from 'node:crypto'
import { generateP256Pem, p256Signer } from '../../src/ops/signing.ts'
import { encodeUtf8, formatBase64, parseHex } from '../../tlog/bytes.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { asHash } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { encodeTreeHead, formatSth, type SignedTreeHead } from '../../tlog/sth.ts'
import type { Said } from './hostile-server.ts'
import { MemoryLog, type TestKey } from './memory-log.ts'

export type MemoryEntry = { readonly leaf: Uint8Array; readonly payload: Uint8Array }
/** Fields that an entry has instead of its own, by its index. */
export type Change = (index: number) => Partial<LeafFields> | undefined

/** Entries 1 to `count`, each with the chain hash of its members and the entry before; but for what is changed. */
export function entriesOf(count: number, change: Change = () => undefined): MemoryEntry[] {
  let previous = genesisHash
  return Array.from({ length: count }, (_, index) => {
    const value = { index, text: `payload ${index}` }
    const payload = encodeUtf8(jcs(value))
    const number = (index + 1) as SequenceNumber
    const hash = chainHash(number, 'alice', 'document.read', 'doc/1', chainText(value), previous)
    const fields: LeafFields = {
      ...{ sequenceNumber: number, eventId: new Uint8Array(16), timestamp: 1_700_000_000_000_000 + index },
      ...{ occurredAt: null, lamport: null, sourcePosition: null },
      ...{ actorId: 'alice', action: 'document.read', resource: 'doc/1', clientIp: '192.0.2.1', writer: 'token:test' },
      payloadHash: asHash(new Uint8Array(createHash('sha256').update(payload).digest())),
      currentHash: asHash(parseHex(hash)),
      ...change(index),
    }
    previous = Buffer.from(fields.currentHash).toString('hex')
    return { leaf: encodeLeaf(fields), payload }
  })
}

export type SthKey = {
  readonly spki: Uint8Array
  readonly sign: (log: MemoryLog, size: number, ms: number) => SignedTreeHead
}

export function makeSthKey(): SthKey {
  const { spki, sign } = p256Signer(generateP256Pem())
  return {
    spki,
    sign: (log, size, timestampMs) => {
      const head = { size: size as SignedTreeHead['size'], timestampMs, root: log.root(size) }
      return { ...head, signature: sign(encodeTreeHead(head)) }
    },
  }
}

/** A log of entries that answers RFC 6962 too. */
export class EntryLog extends MemoryLog {
  readonly entries: readonly MemoryEntry[]

  constructor(key: TestKey, entries: readonly MemoryEntry[]) {
    super(
      key,
      entries.map(({ leaf }) => leaf),
    )
    this.entries = entries
  }

  /** A hundred entries an answer: who reads has to ask again. */
  answerCt(path: string, sth: SignedTreeHead | undefined): Said {
    if (path === '/ct/v1/get-sth' && sth !== undefined) return { status: 200, body: JSON.stringify(formatSth(sth)) }
    const [, start, end] = /^\/ct\/v1\/get-entries\?start=(\d+)&end=(\d+)$/.exec(path) ?? []
    if (start === undefined || end === undefined) return this.answer(path)
    const last = Math.min(Number(end) + 1, Number(start) + 100, this.entries.length)
    const entries = this.entries.slice(Number(start), last).map(({ leaf, payload }) => ({
      ...{ leaf_input: formatBase64(leaf), extra_data: formatBase64(payload) },
    }))
    return { status: 200, body: JSON.stringify({ entries }) }
  }
}
