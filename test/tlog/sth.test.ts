import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { generateP256Pem, nodeSignatureCheck, p256Signer } from '../../src/ops/signing.ts'
import { decodeUtf8, encodeUtf8, formatBase64, formatHex, parseBase64, parseHex } from '../../tlog/bytes.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { asHash, digest } from '../../tlog/hash.ts'
import { formatNote, openNote, parseNote } from '../../tlog/note.ts'
import { formatKeyId } from '../../tlog/note-key.ts'
import {
  checkSth,
  decodeDigitallySigned,
  encodeDigitallySigned,
  encodeTreeHead,
  formatSth,
  logId,
  noteOfSth,
  noteSignatureOfSth,
  parseSth,
  type SthJson,
  sthOfNote,
  sthVerifier,
} from '../../tlog/sth.ts'

type SthVector = {
  treeSize: number
  timestampMs: number
  rootHex: string
  signedBytesHex: string
  signedBytesSha256Hex: string
  derSignatureHex: string
  digitallySignedHex: string
  getSthJson: SthJson
  note: string
}

function readVector<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), 'utf8')) as T
}

const vectors = readVector<{
  spkiDerHex: string
  logIdHex: string
  logIdBase64: string
  noteKeyName: string
  noteKeyIdHex: string
  sths: SthVector[]
}>('rfc6962/sth.json')
const real = readVector<{ spkiBase64: string; logIdBase64: string; sth: SthJson; signedBytesHex: string }>(
  'rfc6962/real-sth-argon2024.json',
)
const spki = parseHex(vectors.spkiDerHex)
const id = logId(spki)
const name = vectors.noteKeyName
const [firstVector] = vectors.sths as [SthVector]
const first = parseSth(firstVector.getSthJson)

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof TlogError) return error.code
    throw error
  }
  return 'no error'
}

test('the log ID is the hash of the public key', () => {
  expect(formatHex(id)).toBe(vectors.logIdHex)
  expect(formatBase64(id)).toBe(vectors.logIdBase64)
  expect(codeOf(() => logId(spki.subarray(1)))).toBe('malformed-key')
})

describe.each(vectors.sths)('the tree head of size $treeSize', (vector) => {
  const sth = parseSth(vector.getSthJson)

  test('is read from JSON and written again', () => {
    expect(sth).toEqual({
      size: vector.treeSize,
      timestampMs: vector.timestampMs,
      root: parseHex(vector.rootHex),
      signature: parseHex(vector.derSignatureHex),
    })
    expect(formatSth(sth)).toEqual(vector.getSthJson)
  })

  test('is signed as the same 50 bytes', () => {
    expect(formatHex(encodeTreeHead(sth))).toBe(vector.signedBytesHex)
    expect(formatHex(digest(encodeTreeHead(sth)))).toBe(vector.signedBytesSha256Hex)
    expect(formatHex(encodeDigitallySigned(sth.signature))).toBe(vector.digitallySignedHex)
    checkSth(sth, spki, nodeSignatureCheck)
  })

  test('becomes a note and comes back', () => {
    const bytes = formatNote(noteOfSth(sth, name, id))
    expect(decodeUtf8(bytes)).toBe(vector.note)
    expect(sthOfNote(parseNote(bytes), name, id)).toEqual(sth)
    const { verified } = openNote(bytes, [sthVerifier(name, spki, nodeSignatureCheck)])
    expect(verified.map(({ keyId }) => formatKeyId(keyId))).toEqual([vectors.noteKeyIdHex])
  })

  test('does not verify a millisecond, a leaf or a bit of the root away', () => {
    const root = Uint8Array.from(sth.root)
    root[31] = (root[31] as number) ^ 1
    const others = [
      { ...sth, timestampMs: sth.timestampMs + 1 },
      { ...sth, size: asTreeSize(sth.size + 1) },
      { ...sth, root: asHash(root) },
      { ...sth, signature: sth.signature.subarray(1) },
      { ...sth, signature: new Uint8Array(0) },
    ]
    for (const other of others) {
      expect(codeOf(() => checkSth(other, spki, nodeSignatureCheck))).toBe('invalid-signature')
    }
  })
})

test('the tree head of a public log verifies', () => {
  const sth = parseSth(real.sth)
  const key = parseBase64(real.spkiBase64)
  expect(formatHex(encodeTreeHead(sth))).toBe(real.signedBytesHex)
  expect(formatBase64(logId(key))).toBe(real.logIdBase64)
  checkSth(sth, key, nodeSignatureCheck)
  expect(formatSth(sth)).toEqual(real.sth)
})

test('a tree head under another key does not verify', () => {
  expect(codeOf(() => checkSth(first, parseBase64(real.spkiBase64), nodeSignatureCheck))).toBe('invalid-signature')
})

test('a head that we sign verifies in both forms', () => {
  const signer = p256Signer(generateP256Pem())
  const head = { size: asTreeSize(2 ** 40), timestampMs: 1_800_000_000_000, root: first.root }
  const sth = { ...head, signature: signer.sign(encodeTreeHead(head)) }
  checkSth(sth, signer.spki, nodeSignatureCheck)
  const bytes = formatNote(noteOfSth(sth, 'log.example', logId(signer.spki)))
  expect(openNote(bytes, [sthVerifier('log.example', signer.spki, nodeSignatureCheck)]).verified).toHaveLength(1)
})

describe('DigitallySigned is refused', () => {
  const good = encodeDigitallySigned(first.signature)
  test.each([
    ['without its head', first.signature],
    ['one byte too long', Uint8Array.of(...good, 0)],
    ['one byte too short', good.subarray(0, -1)],
    ['with an empty signature', Uint8Array.of(4, 3, 0, 0)],
    ['of three bytes', Uint8Array.of(4, 3, 0)],
    ['of RSA', Uint8Array.of(4, 1, ...good.subarray(2))],
    ['of SHA-512', Uint8Array.of(6, 3, ...good.subarray(2))],
    ['of nothing', new Uint8Array(0)],
  ])('%s', (_, bytes) => {
    expect(codeOf(() => decodeDigitallySigned(bytes))).toBe('malformed-sth')
  })

  test('nor is a signature beyond 65535 bytes written', () => {
    expect(codeOf(() => encodeDigitallySigned(new Uint8Array(65_536)))).toBe('malformed-sth')
    expect(decodeDigitallySigned(encodeDigitallySigned(new Uint8Array(65_535)))).toHaveLength(65_535)
  })
})

describe('JSON is refused', () => {
  test.each([
    ['null', null],
    ['text', 'x'],
    ['an empty object', {}],
    ['a size that is text', { ...firstVector.getSthJson, tree_size: '0' }],
    ['a negative size', { ...firstVector.getSthJson, tree_size: -1 }],
    ['a size of 2^53', { ...firstVector.getSthJson, tree_size: 2 ** 53 }],
    ['a fractional timestamp', { ...firstVector.getSthJson, timestamp: 1.5 }],
    ['a root of 31 bytes', { ...firstVector.getSthJson, sha256_root_hash: formatBase64(new Uint8Array(31)) }],
    ['a root in hex', { ...firstVector.getSthJson, sha256_root_hash: firstVector.rootHex }],
    ['a bare DER signature', { ...firstVector.getSthJson, tree_head_signature: formatBase64(first.signature) }],
    ['a signature that is null', { ...firstVector.getSthJson, tree_head_signature: null }],
  ])('%s', (_, value) => {
    expect(codeOf(() => parseSth(value))).toBe('malformed-sth')
  })

  test('but members that nobody knows are ignored', () => {
    expect(parseSth({ ...firstVector.getSthJson, log_id: 'x' })).toEqual(first)
  })
})

describe('a note line', () => {
  const line = noteSignatureOfSth(first, name, id)
  const verifier = sthVerifier(name, spki, nodeSignatureCheck)
  const { text } = noteOfSth(first, name, id)

  test('on a body with extension lines is refused', () => {
    const extended = { text: `${text}extension\n`, signatures: [line] }
    expect(codeOf(() => sthOfNote(extended, name, id))).toBe('malformed-sth')
    expect(codeOf(() => openNote(formatNote(extended), [verifier]))).toBe('invalid-signature')
  })

  test('that is cut off or has a timestamp above 2^53-1 is refused', () => {
    const late = Uint8Array.from(line.signature)
    late[0] = 0x01
    for (const signature of [line.signature.subarray(0, 7), line.signature.subarray(0, 11), late]) {
      const note = { text, signatures: [{ ...line, signature }] }
      expect(codeOf(() => sthOfNote(note, name, id))).toBe('malformed-sth')
      expect(codeOf(() => openNote(formatNote(note), [verifier]))).toBe('invalid-signature')
    }
  })

  test('of another name or log is not found', () => {
    const note = { text, signatures: [line] }
    expect(codeOf(() => sthOfNote(note, 'other.example', id))).toBe('malformed-sth')
    expect(codeOf(() => sthOfNote(note, name, digest(spki.subarray(1))))).toBe('malformed-sth')
  })

  test('on text that is no checkpoint does not hold', () => {
    expect(verifier.verify(encodeUtf8('hello\n'), line.signature)).toBe(false)
    expect(verifier.verify(Uint8Array.of(0xff, 0x0a), line.signature)).toBe(false)
  })
})

test('a head with impossible numbers is not encoded', () => {
  for (const timestampMs of [-1, 0.5, 2 ** 53, Number.NaN]) {
    expect(codeOf(() => encodeTreeHead({ ...first, timestampMs }))).toBe('out-of-range')
  }
})

test('a tree head that was formatted parses to itself', () => {
  const sth = fc.record({
    size: fc.maxSafeNat().map(asTreeSize),
    timestampMs: fc.maxSafeNat(),
    root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => asHash(bytes)),
    signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
  })
  fc.assert(
    fc.property(sth, (head) => {
      expect(parseSth(JSON.parse(JSON.stringify(formatSth(head))))).toEqual(head)
      expect(sthOfNote(parseNote(formatNote(noteOfSth(head, name, id))), name, id)).toEqual(head)
      const view = Buffer.from(encodeTreeHead(head))
      expect([view.readBigUInt64BE(2), view.readBigUInt64BE(10)]).toEqual([BigInt(head.timestampMs), BigInt(head.size)])
    }),
  )
})
