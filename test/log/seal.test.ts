import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { hashSecret, isSealed, sealHead } from '../../src/log/seal.ts'
import type { TreeHead } from '../../src/store/batch.ts'
import type { Hash } from '../../tlog/hash.ts'

const key = new Uint8Array(32).fill(7)
const bytes = (n: number): Hash => new Uint8Array(32).fill(n) as Hash
const fields = {
  previousSize: 2 ** 40,
  previousRoot: bytes(1),
  treeSize: 2 ** 40 + 5,
  root: bytes(2),
  chainHash: bytes(3),
  frontier: Buffer.concat([bytes(4), bytes(5), bytes(6)]),
  newestTimestamp: 2 ** 50 + 7,
}
const head: TreeHead = { ...fields, seal: sealHead(key, 'example.org/log', fields) }

test('a seal is the HMAC of origin and all that the row says', () => {
  const numbers = Buffer.from('0000010000000000' + '0000010000000005' + '0004000000000007', 'hex')
  const hashes = Buffer.concat([1, 2, 3, 4, 5, 6].map(bytes))
  const text = Buffer.concat([Buffer.from('dendrolog/seal/2\0example.org/log\0'), numbers, hashes])
  expect(Buffer.from(head.seal)).toEqual(createHmac('sha256', key).update(text).digest())
  expect(isSealed(key, 'example.org/log', head)).toBe(true)
})

test.each([
  ['previous size', { previousSize: 2 ** 40 - 1 }],
  ['previous root', { previousRoot: bytes(9) }],
  ['size', { treeSize: 2 ** 40 + 6 }],
  ['root', { root: bytes(9) }],
  ['chain hash', { chainHash: bytes(9) }],
  ['time of its newest entry', { newestTimestamp: 2 ** 50 + 8 }],
  ['frontier', { frontier: Buffer.concat([bytes(4), bytes(5), bytes(9)]) }],
  ['length of the frontier', { frontier: Buffer.concat([bytes(4), bytes(5)]) }],
  ['seal', { seal: bytes(9) }],
  ['length of the seal', { seal: head.seal.slice(0, 31) }],
])('a head with another %s is not sealed', (_, change) => {
  expect(isSealed(key, 'example.org/log', { ...head, ...change })).toBe(false)
})

test('the seal of another log or under another key does not count', () => {
  expect(isSealed(key, 'example.org/other', head)).toBe(false)
  expect(isSealed(bytes(8), 'example.org/log', head)).toBe(false)
})

test('the hash of a secret depends on the key', () => {
  expect(hashSecret(key, 'token')).toEqual(hashSecret(key, 'token'))
  expect(hashSecret(key, 'token')).not.toEqual(hashSecret(bytes(8), 'token'))
  expect(hashSecret(key, 'token')).not.toEqual(hashSecret(key, 'other'))
})
