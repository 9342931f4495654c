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
}
const head: TreeHead = {
  ...fields,
  frontier: new Uint8Array(0),
  newestTimestamp: 1,
  seal: sealHead(key, 'example.org/log', fields),
}

test('a seal is the HMAC of origin, sizes, roots and chain hash', () => {
  const sizes = Buffer.from('0000010000000000' + '0000010000000005', 'hex')
  const text = Buffer.concat([Buffer.from('dendrolog/seal/1\0example.org/log\0'), sizes, bytes(1), bytes(2), bytes(3)])
  expect(Buffer.from(head.seal)).toEqual(createHmac('sha256', key).update(text).digest())
  expect(isSealed(key, 'example.org/log', head)).toBe(true)
})

test.each([
  ['previous size', { previousSize: 2 ** 40 - 1 }],
  ['previous root', { previousRoot: bytes(9) }],
  ['size', { treeSize: 2 ** 40 + 6 }],
  ['root', { root: bytes(9) }],
  ['chain hash', { chainHash: bytes(9) }],
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
