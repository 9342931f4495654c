import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { checkTimeStampToken, type TokenExpectation } from '../../src/anchor/check-token.ts'
import { derInteger, derParts, readDer } from '../../src/anchor/der.ts'
import { encodeTimeStampRequest } from '../../src/anchor/time-stamp-request.ts'
import { parseTimeStampReply } from '../../src/anchor/time-stamp-token.ts'
import { formatHex } from '../../tlog/bytes.ts'

// RFC 3161 by the vectors, which OpenSSL made.

type Case = {
  file: string
  request?: string
  data?: string
  bareToken?: boolean
  extraCertificate?: string
  ok: boolean
  why?: string
}
const read = (file: string): Buffer => readFileSync(new URL(`../vectors/rfc3161/${file}`, import.meta.url))
const manifest = JSON.parse(read('manifest.json').toString()) as { policy: string; cases: Case[]; dataSha256: string }
const sha256 = createHash('sha256').update(read('data.bin')).digest()
const root = new X509Certificate(read('ca.der'))
const nonce = Buffer.from('8c8354e9bf9c2b95', 'hex')

const bytesOf = (n: bigint): Buffer => Buffer.from(n.toString(16).padStart(16, '0'), 'hex')

function expectationOf({ request, extraCertificate }: Case): TokenExpectation {
  const sent = request === undefined ? [] : derParts(readDer(read(request)))
  // The version, and behind it the nonce, where there is one.
  const [, sentNonce] = sent.filter(({ tag }) => tag === 0x02)
  const number = sentNonce && derInteger(sentNonce, 'nonce')
  return {
    ...{ sha256, roots: [root], nonce: number === undefined ? undefined : bytesOf(number) },
    others: extraCertificate === undefined ? [] : [new X509Certificate(read(extraCertificate))],
  }
}

test('a request is the one of the vectors, byte by byte', () => {
  const request = encodeTimeStampRequest({ sha256, nonce, policy: manifest.policy })
  expect(formatHex(request)).toBe(formatHex(read('req.tsq')))
})

test.each(manifest.cases)('$file $why', (of) => {
  const bytes = read(of.file)
  const reply = of.bareToken === true ? { status: 0, reason: 'granted', token: bytes } : parseTimeStampReply(bytes)
  if (reply.token === undefined) {
    expect([of.ok, reply.status, reply.reason]).toEqual([
      false,
      2,
      expect.stringMatching(/^rejected, ".*", (bad algorithm|policy not accepted)$/),
    ])
    return
  }
  const token = reply.token
  const check = () => checkTimeStampToken(token, expectationOf(of))
  if (!of.ok) {
    expect(check).toThrow(/^time stamp: /)
    return
  }
  const checked = check()
  expect(new Date(checked.time / 1_000).toISOString()).toMatch(/^2026-11-22T0[23]:/)
  expect(checked).toMatchObject({ policy: manifest.policy, accuracy: 1_500_100 })
  expect(checked.chain.map(({ subject }) => subject)).toEqual(['O=Test\nCN=Test TSA', 'O=Test\nCN=Test TSA Root'])
})

describe('a good token', () => {
  const token = parseTimeStampReply(read('resp.tsr')).token as Uint8Array
  const good: TokenExpectation = { sha256, nonce, roots: [root], policy: manifest.policy }

  test.each<[string, Partial<TokenExpectation>, string]>([
    ['of something else', { sha256: new Uint8Array(32) }, 'something else'],
    ['for another request', { nonce: Uint8Array.of(1, 2, 3) }, 'nonce'],
    ['under another policy', { policy: '1.2.3' }, 'policy'],
    ['from nobody who is trusted', { roots: [] }, 'no authority that is trusted'],
  ])('is refused %s', (_, other, reason) => {
    expect(() => checkTimeStampToken(token, { ...good, ...other })).toThrow(reason)
  })

  test('with any bit flipped proves the same, or nothing', () => {
    const want = checkTimeStampToken(token, good)
    let refused = 0
    for (let bit = 0; bit < 8 * token.length; bit++) {
      const flipped = token.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      try {
        const { time, policy, serialNumber } = checkTimeStampToken(flipped, good)
        expect({ time, policy, serialNumber }).toEqual({
          time: want.time,
          policy: want.policy,
          serialNumber: want.serialNumber,
        })
      } catch (error) {
        expect(String(error)).toMatch(/time stamp: |TypeError|Error/)
        refused++
      }
    }
    // What is not signed is little: algorithms that are repeated, the root's own bytes.
    expect(refused).toBeGreaterThan(0.6 * 8 * token.length)
  })

  test('cut off anywhere is refused', () => {
    for (let length = 0; length < token.length; length++) {
      expect(() => checkTimeStampToken(token.subarray(0, length), good), `${length} bytes`).toThrow('time stamp: ')
    }
  })
})
