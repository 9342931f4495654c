import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { checkTimeStampToken } from '../../src/anchor/check-token.ts'
import { decodeStampEvidence, encodeStampEvidence } from '../../src/anchor/evidence.ts'
import { requestTimeStamp } from '../../src/anchor/time-stamp-client.ts'
import { parseTimeStampReply, parseTimeStampToken } from '../../src/anchor/time-stamp-token.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import {
  makeAuthorityPair,
  startAuthority,
  type TestAuthority,
  type TestAuthorityOptions,
  testPolicy,
} from '../support/time-stamp-authority.ts'

// A real authority, OpenSSL's; and those that answer something else.

const runFile = promisify(execFile)
const note = encodeUtf8('log.example\n1\nroot\n')
const sha256 = createHash('sha256').update(note).digest()
const signal = new AbortController().signal
const dayMs = 86_400_000

const open: { close: () => Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

async function authority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
  const started = await startAuthority(options)
  open.push(started)
  return started
}

const rootsOf = ({ root }: Pick<TestAuthority, 'root'>): X509Certificate[] => [new X509Certificate(root)]

describe('a stamp', () => {
  test.each<[string, TestAuthorityOptions]>([
    ['of a P-256 key', {}],
    ['of an RSA key', { keyType: 'rsa' }],
    ['with SHA-512', { digest: 'sha512' }],
  ])('%s is checked, and OpenSSL agrees', async (_, options) => {
    const tsa = await authority(options)
    const before = Date.now()
    const stamp = await requestTimeStamp(
      { url: new URL(tsa.url), timeoutMs: 10_000, roots: rootsOf(tsa), policy: testPolicy },
      note,
      signal,
    )
    expect(stamp.checked.time / 1_000).toBeGreaterThan(before - 2_000)
    expect(stamp.checked.time / 1_000).toBeLessThan(Date.now() + 2_000)
    const [token, data] = [join(tsa.folder, 'token'), join(tsa.folder, 'data')]
    await writeFile(token, stamp.token)
    await writeFile(data, note)
    const args = ['ts', '-verify', '-data', data, '-in', token, '-token_in', '-CAfile', join(tsa.folder, 'root.pem')]
    expect(await runFile('openssl', args)).toMatchObject({ stdout: 'Verification: OK\n' })
    const evidence = decodeStampEvidence(encodeStampEvidence('tsa', stamp))
    expect(evidence.authority).toBe('tsa')
    const again = checkTimeStampToken(evidence.token, {
      ...evidence,
      sha256,
      roots: [evidence.chain.at(-1) as X509Certificate],
    })
    expect(again.time).toBe(stamp.checked.time)
  })

  test('of an authority whose certificate had ended is refused', async () => {
    const tsa = await authority({ notBefore: new Date(Date.now() - 9 * dayMs), notAfter: new Date(Date.now() - dayMs) })
    const asking = requestTimeStamp({ url: new URL(tsa.url), timeoutMs: 10_000, roots: rootsOf(tsa) }, note, signal)
    await expect(asking).rejects.toThrow('was not valid at its time')
  })

  test('of an authority that comes from another root is refused', async () => {
    const [tsa, other] = [await authority(), await authority()]
    const asking = requestTimeStamp({ url: new URL(tsa.url), timeoutMs: 10_000, roots: rootsOf(other) }, note, signal)
    await expect(asking).rejects.toThrow('no authority that is trusted')
  })
})

/** The TSTInfo of a good token, signed by somebody with this certificate. */
async function signedBy(
  tsa: TestAuthority,
  pair: { readonly cert: string; readonly key: string },
): Promise<Uint8Array> {
  const { token } = await requestTimeStamp(
    { url: new URL(tsa.url), timeoutMs: 10_000, roots: rootsOf(tsa) },
    note,
    signal,
  )
  const [info, cert, key, out] = ['info', 'cert', 'key', 'cms'].map((name) => join(tsa.folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  await writeFile(info, parseTimeStampToken(token).infoBytes)
  await writeFile(cert, pair.cert)
  await writeFile(key, pair.key, { mode: 0o600 })
  const args = ['cms', '-sign', '-cades', '-nodetach', '-binary', '-md', 'sha256', '-in', info, '-outform', 'DER']
  const type = ['-econtent_type', '1.2.840.113549.1.9.16.1.4', '-signer', cert, '-inkey', key, '-out', out]
  await runFile('openssl', [...args, ...type])
  return readFile(out)
}

const digitalSignature = { name: 'keyUsage', digitalSignature: true, critical: true } as const

describe('a token that somebody signed', () => {
  test('with a certificate for time stamps is good', async () => {
    const tsa = await authority()
    const pair = await makeAuthorityPair()
    const token = await signedBy(tsa, pair)
    expect(checkTimeStampToken(token, { sha256, roots: rootsOf(pair) })).toMatchObject({ policy: testPolicy })
  })

  test.each<[string, Parameters<typeof makeAuthorityPair>[1], string]>([
    [
      'for web servers',
      [digitalSignature, { name: 'extKeyUsage', serverAuth: true, critical: true }],
      'time stamps only',
    ],
    [
      'for web servers too',
      [digitalSignature, { name: 'extKeyUsage', serverAuth: true, timeStamping: true, critical: true }],
      'time stamps only',
    ],
    ['for anything', [digitalSignature], 'is not for time stamps'],
    ['whose purpose is not critical', [digitalSignature, { name: 'extKeyUsage', timeStamping: true }], 'not critical'],
    [
      'whose key is for something else',
      [
        { name: 'keyUsage', keyEncipherment: true },
        { name: 'extKeyUsage', timeStamping: true, critical: true },
      ],
      'something else than signatures',
    ],
  ])('with a certificate %s is refused', async (_, extensions, reason) => {
    const tsa = await authority()
    const pair = await makeAuthorityPair({}, extensions)
    const token = await signedBy(tsa, pair)
    expect(() => checkTimeStampToken(token, { sha256, roots: rootsOf(pair) })).toThrow(reason)
  })
})

describe('an authority that', () => {
  async function listening(listener: RequestListener): Promise<URL> {
    const server: Server = createServer(listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push({
      close: async () => {
        server.closeAllConnections()
        server.close()
      },
    })
    return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  }

  test.each<[string, RequestListener, string]>([
    ['hangs', () => {}, 'no answer within 300 ms'],
    ['answers 500', (_, response) => response.writeHead(500).end('broken'), 'status 500: broken'],
    ['answers HTML', (_, response) => response.writeHead(200).end('<html>'), 'DER'],
    ['answers nothing', (_, response) => response.writeHead(200).end(), 'DER'],
    [
      'answers without end',
      (_, response) => {
        response.writeHead(200)
        const timer = setInterval(() => response.write(Buffer.alloc(65_536)), 1)
        response.on('close', () => clearInterval(timer))
      },
      'an answer of 65536 bytes or more',
    ],
    [
      'hangs up in the middle',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' })
        response.write('x', () => response.destroy())
      },
      'no answer',
    ],
  ])('%s is refused in time', async (_, listener, reason) => {
    const url = await listening(listener)
    await expect(requestTimeStamp({ url, timeoutMs: 300, roots: [] }, note, signal)).rejects.toThrow(reason)
  })

  test('answers with the reply to an earlier request is refused', async () => {
    const tsa = await authority()
    const authorityOf = { timeoutMs: 10_000, roots: rootsOf(tsa) }
    await requestTimeStamp({ url: new URL(tsa.url), ...authorityOf }, note, signal)
    const earlier = await readFile(join(tsa.folder, '1.tsr'))
    expect(parseTimeStampReply(earlier).status).toBe(0)
    const url = await listening((_, response) => response.writeHead(200).end(earlier))
    await expect(requestTimeStamp({ url, ...authorityOf }, note, signal)).rejects.toThrow('nonce')
    await expect(requestTimeStamp({ url, ...authorityOf }, encodeUtf8('other'), signal)).rejects.toThrow(
      'something else',
    )
  })
})
