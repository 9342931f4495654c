import { expect, test } from 'vitest'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { digest, type Hash, nobleSha256 } from '../../tlog/hash.ts'
import { renewalPath, renewalTextAt, renewalTextOf, stampLeafHash } from '../../tlog/stamp-renewal.ts'
import { referenceTree } from './reference-tree.ts'

const stamps = Array.from({ length: 21 }, (_, i) => ({
  ...{ token: encodeUtf8(`token ${i}`), certificates: [encodeUtf8(`certificate ${i % 3}`)] },
}))
const hashes = stamps.map((stamp) => stampLeafHash(stamp, nobleSha256))

test.each([1, 2, 3, 8, 21])('each of %i stamps leads to the text that is stamped of all', (size) => {
  const some = hashes.slice(0, size)
  const text = renewalTextOf(some, nobleSha256)
  for (const [index, leaf] of some.entries()) {
    const place = { index, size, path: renewalPath(some, index, nobleSha256) }
    expect(renewalTextAt(leaf, place, nobleSha256)).toEqual(text)
    const other = { token: encodeUtf8('another'), certificates: [] }
    expect(renewalTextAt(stampLeafHash(other, nobleSha256), place, nobleSha256)).not.toEqual(text)
  }
})

test('the tree is that of RFC 6962', () => {
  // By the slow definition, over leaves whose hashes are given.
  const leaves = stamps.map(({ token }) => token)
  const tree = referenceTree(leaves)
  const leafHashes = leaves.map((_, i) => tree.root(i, i + 1)) as Hash[]
  const root = Buffer.from(tree.root(0, leaves.length)).toString('base64')
  expect(Buffer.from(renewalTextOf(leafHashes, nobleSha256)).toString()).toBe(
    `dendrolog/stamp-renewal/1\n${leaves.length}\n${root}\n`,
  )
})

test('a certificate more is another stamp', () => {
  const [stamp] = stamps as [(typeof stamps)[number]]
  const more = { ...stamp, certificates: [...stamp.certificates, digest(stamp.token, nobleSha256)] }
  expect(stampLeafHash(more, nobleSha256)).not.toEqual(hashes[0])
})
