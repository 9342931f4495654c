import { isIP } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isIpAddress } from '../../tlog/ip-address.ts'

test.each([
  '0.0.0.0',
  '255.255.255.255',
  '192.0.2.1',
  '::',
  '::1',
  '1::',
  '2001:db8::1',
  '2001:DB8:0:0:8:800:200C:417A',
  '1:2:3:4:5:6:7::',
  '::2:3:4:5:6:7:8',
  '1:2:3::5:6:7:8',
  '::ffff:192.0.2.1',
  '1:2:3:4:5:6:1.2.3.4',
  '1:2:3:4:5::1.2.3.4',
  '0000:0000:0000:0000:0000:ffff:255.255.255.255',
])('%s is an address', (text) => {
  expect(isIP(text)).not.toBe(0)
  expect(isIpAddress(text)).toBe(true)
})

const hostile = [
  '',
  ' ',
  '.',
  ':',
  ':::',
  '1',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.',
  '.1.2.3',
  '1..2.3',
  '256.1.1.1',
  '01.2.3.4',
  '0x1.2.3.4',
  '1e1.2.3.4',
  '+1.2.3.4',
  '-0.2.3.4',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '1.2.3.4/32',
  '1.2.3.4:80',
  '\u0661.2.3.4',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  '1::2::3',
  '1:::2',
  ':1::2',
  '1::2:',
  ':1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7:8:',
  '12345::',
  'g::',
  '::1%eth0',
  'fe80::1%1',
  '[::1]',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '::1.2.3',
  '::256.2.3.4',
  '1:2:3:4:5:6:7:1.2.3.4',
  '1:2:3:4:5:6::1.2.3.4',
  '::\n',
  'localhost',
  '0000:0000:0000:0000:0000:0000:0000:0000:0000:0000',
  '0'.repeat(46),
]

test.each(hostile)('%j is no address', (text) => {
  if (!text.includes('%')) expect(isIP(text)).toBe(0)
  expect(isIpAddress(text)).toBe(false)
})

test('every address is one', () => {
  fc.assert(fc.property(fc.ipV4(), (text) => isIpAddress(text)))
  fc.assert(fc.property(fc.ipV6(), (text) => isIpAddress(text)))
})

test('what is almost an address is judged as node judges it', () => {
  const piece = fc.constantFrom('', '0', '1', 'ff', 'FFFF', '10000', '1.2.3.4', '255', '256', '.', ':', '::', 'g')
  const joined = fc
    .tuple(fc.array(piece, { maxLength: 10 }), fc.constantFrom(':', '.', ''))
    .map(([p, by]) => p.join(by))
  const mutated = fc
    .tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(45), fc.constantFrom('', ':', '::', '.', '0', 'a', '1.2.3.4'))
    .map(([text, at, insert]) => text.slice(0, at) + insert + text.slice(at + 1))
  fc.assert(
    fc.property(fc.oneof(joined, mutated), (text) => {
      expect(isIpAddress(text)).toBe(text.length <= 45 && isIP(text) !== 0)
    }),
    { numRuns: 5000 },
  )
})
