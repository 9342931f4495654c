import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { integrate, type LogState, leafAt } from '../../src/log/integrate.ts'
import type { Submission } from '../../src/log/submission.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { ledgerColumns } from '../../src/store/ledger-row.ts'
import { formatHex, parseHex } from '../../tlog/bytes.ts'
import { chainHash, chainText } from '../../tlog/chain.ts'
import { asTreeSize, type SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf, type LeafFields } from '../../tlog/entry.ts'
import { digest, emptyRoot, type Hash, leafHash } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { slotCount } from '../../tlog/tile.ts'
import { parseOccurredAt } from '../../tlog/time.ts'
import { appendLeafHashes, edgeFromPartials, emptyEdge, type TreeEdge } from '../../tlog/tree-edge.ts'
import { parseUuid } from '../../tlog/uuid.ts'
import { submissionOf, type TestRecord } from '../support/log.ts'

type Example = {
  readonly submission: TestRecord & { readonly id: string; readonly clientIp: string }
  readonly sequenceNumber: number
  readonly timestampMicroseconds: number
  readonly writer: string
  readonly sourcePosition: string | null
  readonly previousHash: string
  readonly currentHash: string
  readonly leaf: string
  readonly leafHash: string
}

const vectors: { entries: Example[]; wide: Example[]; roots: string[] } = JSON.parse(
  readFileSync(new URL('../vectors/entries/entries.json', import.meta.url), 'utf8'),
)

const emptyState: LogState = {
  edge: emptyEdge,
  root: emptyRoot,
  chainHash: new Uint8Array(32) as Hash,
  newestTimestamp: 0,
}

function submissionOfExample({ submission, writer, sourcePosition }: Example): Submission {
  return submissionOf(submission, writer, sourcePosition)
}

describe.each([...vectors.entries, ...vectors.wide])('the example with sequence number $sequenceNumber', (example) => {
  test('gets its chain hash, leaf, leaf hash and row', () => {
    const before = { ...stateOfSize(example.sequenceNumber - 1), chainHash: parseHex(example.previousHash) as Hash }
    const submission = submissionOfExample(example)
    const batch = integrate(before, [submission], example.timestampMicroseconds, nativeSha256)
    expect(formatHex(batch.chainHashes)).toBe(example.previousHash + example.currentHash)
    expect(formatHex(batch.leafHashes)).toBe(example.leafHash)
    const { sequenceNumber, timestampMicroseconds, currentHash } = example
    const leaf = leafAt(submission, sequenceNumber, timestampMicroseconds, parseHex(currentHash) as Hash)
    expect(formatHex(leaf)).toBe(example.leaf)
    const [row] = rowsOf(batch.ledgerRows)
    expect(row?.get('sequence_number')?.readBigInt64BE()).toBe(BigInt(sequenceNumber))
    expect(row?.get('leaf_hash')?.toString('hex')).toBe(example.leafHash)
    expect(rowsOfIds(batch.idRows)).toEqual([[example.submission.id, BigInt(sequenceNumber)]])
  })
})

test('the examples one after the other have the roots of the vectors', () => {
  let state = emptyState
  const roots = vectors.entries.map((example) => {
    state = integrate(state, [submissionOfExample(example)], example.timestampMicroseconds, nativeSha256).after
    return formatHex(state.root)
  })
  expect(roots).toEqual(vectors.roots)
  expect(formatHex(state.chainHash)).toBe(vectors.entries.at(-1)?.currentHash)
})

const text = (max: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', minLength: 1, maxLength: max }).filter((s) => !s.includes('\0') && s.isWellFormed())

const payload = fc
  .dictionary(fc.oneof(text(8), fc.nat().map(String)), fc.jsonValue({ maxDepth: 4 }), { noNullPrototype: true })
  .map((value) => JSON.parse(JSON.stringify(value)) as object)
  .filter((value) => !/\\u0000|"__proto__"|dendrolog:enc|\\ud[89a-f]/i.test(JSON.stringify(value)))

const record = fc.record(
  {
    id: fc.uuid({ version: 7 }),
    actorId: text(255).filter((s) => [...s].length <= 255),
    action: text(100).filter((s) => [...s].length <= 100 && !s.startsWith('dendrolog.')),
    resource: text(255).filter((s) => [...s].length <= 255),
    payload,
    clientIp: fc.oneof(fc.ipV4(), fc.constant('2001:DB8::1')),
    occurredAt: fc
      .date({ min: new Date(0), max: new Date('2254-12-31'), noInvalidDate: true })
      .map((d) => d.toISOString()),
    lamport: fc.maxSafeNat(),
  },
  { requiredKeys: ['id', 'actorId', 'action', 'resource', 'payload', 'clientIp'] },
)

test('any records get the chain, leaves and rows that the plain encoders give', () => {
  const sizes = fc.oneof(
    fc.nat(1_000),
    fc.nat(2 ** 40),
    fc.constantFrom(9, 99, 254, 255, 65_535, 2 ** 32 - 1, 2 ** 53 - 9),
  )
  const sourcePosition = fc.option(text(40))
  const batches = fc.array(record, { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(batches, sizes, text(60), sourcePosition, fc.nat(2 ** 50), (records, size, writer, position, time) => {
      const before = stateOfSize(size)
      const submissions = records.map((one) => submissionOf(one as TestRecord, writer, position))
      const batch = integrate(before, submissions, time, nativeSha256)
      const rows = rowsOf(batch.ledgerRows)
      expect(rows).toHaveLength(records.length)
      let previousHash = formatHex(before.chainHash)
      records.forEach((one, i) => {
        const place = { sequenceNumber: size + i + 1, timestamp: time, writer, sourcePosition: position }
        const fields = fieldsOf(one as Example['submission'], previousHash, place)
        expectRow(rows[i] as Row, fields, one.payload, previousHash)
        previousHash = formatHex(fields.currentHash)
      })
      expect(formatHex(batch.after.chainHash)).toBe(previousHash)
      expect(batch.after).toMatchObject(appendOnEdge(before.edge, batch.leafHashes))
    }),
    { numRuns: 75 },
  )
})

type Place = Pick<LeafFields, 'sequenceNumber' | 'timestamp' | 'writer' | 'sourcePosition'>

function fieldsOf(record: Example['submission'], previousHash: string, place: Place): LeafFields {
  const { actorId, action, resource, payload, clientIp, occurredAt, lamport } = record
  const sequenceNumber = place.sequenceNumber as SequenceNumber
  const current = chainHash(sequenceNumber, actorId, action, resource, chainText(payload), previousHash)
  return {
    ...{ ...place, actorId, action, resource, clientIp, lamport: lamport ?? null },
    eventId: parseUuid(record.id),
    occurredAt: occurredAt === undefined ? null : parseOccurredAt(occurredAt),
    payloadHash: digest(new TextEncoder().encode(jcs(payload))),
    currentHash: parseHex(current) as Hash,
  }
}

type Row = ReadonlyMap<string, Buffer | null>

function expectRow(row: Row, fields: LeafFields, payload: object, previousHash: string): void {
  const textOf = (column: string): string | undefined => row.get(column)?.toString('utf8')
  expect(textOf('previous_hash')).toBe(previousHash)
  expect(textOf('current_hash')).toBe(formatHex(fields.currentHash))
  expect(row.get('leaf_hash')?.toString('hex')).toBe(formatHex(leafHash(encodeLeaf(fields))))
  expect(row.get('payload_hash')?.toString('hex')).toBe(formatHex(fields.payloadHash))
  expect(row.get('event_id')?.toString('hex')).toBe(formatHex(fields.eventId))
  expect(textOf('payload')).toBe(`\x01${jcs(payload)}`)
  expect(textOf('actor_id')).toBe(fields.actorId)
  expect(textOf('action')).toBe(fields.action)
  expect(textOf('resource')).toBe(fields.resource)
  expect(textOf('client_ip')).toBe(fields.clientIp)
  expect(textOf('writer')).toBe(fields.writer)
  expect(textOf('source_position') ?? null).toBe(fields.sourcePosition)
  expect(integerOf(row, 'sequence_number')).toBe(fields.sequenceNumber)
  expect(integerOf(row, 'lamport')).toBe(fields.lamport)
  expect(timeOf(row, 'timestamp')).toBe(fields.timestamp)
  expect(timeOf(row, 'occurred_at')).toBe(fields.occurredAt)
}

function integerOf(row: Row, column: string): number | null {
  const field = row.get(column) ?? null
  return field === null ? null : Number(field.readBigInt64BE())
}

function timeOf(row: Row, column: string): number | null {
  const since2000 = integerOf(row, column)
  return since2000 === null ? null : since2000 + Date.UTC(2000, 0, 1) * 1_000
}

/** Takes PostgreSQL's binary COPY rows apart. */
function rowsOf(bytes: Uint8Array): Row[] {
  return fieldsOfRows(bytes).map((fields) => {
    expect(fields).toHaveLength(ledgerColumns.length)
    return new Map(fields.map((field, i) => [ledgerColumns[i] as string, field]))
  })
}

function rowsOfIds(bytes: Uint8Array): [string, bigint][] {
  return fieldsOfRows(bytes).map(([id, sequenceNumber]) => [
    id?.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') ?? '',
    sequenceNumber?.readBigInt64BE() ?? 0n,
  ])
}

function fieldsOfRows(bytes: Uint8Array): (Buffer | null)[][] {
  const buffer = Buffer.from(bytes)
  const rows: (Buffer | null)[][] = []
  for (let at = 0; at < buffer.length; ) {
    const fields: (Buffer | null)[] = []
    const count = buffer.readInt16BE(at)
    at += 2
    for (let i = 0; i < count; i++) {
      const length = buffer.readInt32BE(at)
      fields.push(length < 0 ? null : buffer.subarray(at + 4, at + 4 + length))
      at += 4 + Math.max(0, length)
    }
    rows.push(fields)
  }
  return rows
}

/** A tree of that many leaves whose hashes are made up. */
function stateOfSize(n: number): LogState {
  const size = asTreeSize(n)
  const partials: Uint8Array[] = []
  for (let level = 0; slotCount(level, size) > 0; level++) {
    partials.push(new Uint8Array(32 * (slotCount(level, size) % 256)).fill(level + 1))
  }
  return { ...emptyState, edge: edgeFromPartials(size, partials, nativeSha256) }
}

function appendOnEdge(edge: TreeEdge, leafHashes: Uint8Array): { edge: TreeEdge; root: Hash } {
  const { edge: after, root } = appendLeafHashes(edge, leafHashes)
  return { edge: after, root }
}
