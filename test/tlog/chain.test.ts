import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { jcs } from '../../tlog/jcs.ts'
import { canonicalLengthMax, writeChainText, writeJcs } from '../../tlog/json-canonical.ts'
import { scan } from '../../tlog/json-scan.ts'
import { Tape } from '../../tlog/json-tape.ts'

type Example = {
  submission: { actorId: string; action: string; resource: string; payload: unknown }
  sequenceNumber: SequenceNumber
  previousHash: string
  chainText: string
  jcsText: string
  currentHash: string
}
const vectors: { genesis: string; entries: Example[]; wide: Example[] } = JSON.parse(
  readFileSync(new URL('../vectors/entries/entries.json', import.meta.url), 'utf8'),
)
const examples = [...vectors.entries, ...vectors.wide]

function written(payload: unknown, write: typeof writeJcs): string {
  const bytes = new TextEncoder().encode(JSON.stringify(payload, null, 1))
  const tape = new Tape()
  scan(bytes, 0, bytes.length, tape)
  const out = new Uint8Array(canonicalLengthMax(tape, 0))
  return new TextDecoder().decode(out.subarray(0, write(tape, 0, out, 0)))
}

describe.each(examples)('the example with sequence number $sequenceNumber', (example) => {
  const { submission, sequenceNumber, previousHash, currentHash } = example

  test('has the two canonical texts, from values and from bytes', () => {
    expect(chainText(submission.payload)).toBe(example.chainText)
    expect(jcs(submission.payload)).toBe(example.jcsText)
    expect(written(submission.payload, writeChainText)).toBe(example.chainText)
    expect(written(submission.payload, writeJcs)).toBe(example.jcsText)
  })

  test('has the chain hash, by either implementation of SHA-256', () => {
    const { actorId, action, resource } = submission
    const text = example.chainText
    expect(chainHash(sequenceNumber, actorId, action, resource, text, previousHash)).toBe(currentHash)
    expect(chainHash(sequenceNumber, actorId, action, resource, text, previousHash, nativeSha256)).toBe(currentHash)
  })
})

test('the chain starts at 64 zeros and each entry names the one before', () => {
  expect(genesisHash).toBe(vectors.genesis)
  const previous = [genesisHash, ...vectors.entries.map((entry) => entry.currentHash)]
  expect(vectors.entries.map((entry) => entry.previousHash)).toEqual(previous.slice(0, -1))
})

test('the chain text keeps a member called __proto__', () => {
  expect(chainText(JSON.parse('{"b":1,"__proto__":{"2":0,"10":0}}'))).toBe('{"__proto__":{"2":0,"10":0},"b":1}')
})
