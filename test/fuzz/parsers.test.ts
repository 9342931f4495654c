import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ed25519SignerFromSeed, generateP256Pem, nodeSignatureCheck, p256Signer } from '../../src/ops/signing.ts'
import { encodeUtf8, formatBase64, formatHex, parseBase64, parseHex } from '../../tlog/bytes.ts'
import { formatCheckpoint, openCheckpoint, parseCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize, parseDecimal } from '../../tlog/coords.ts'
import { decodeLeaf, encodeLeaf, readLeaf } from '../../tlog/entry.ts'
import { cutEntryBundle, decodeEntryBundle, encodeEntryBundle, tileOfEntryBundle } from '../../tlog/entry-bundle.ts'
import { TlogError } from '../../tlog/errors.ts'
import { checkEvidence, evidenceFormat } from '../../tlog/evidence.ts'
import type { Hash } from '../../tlog/hash.ts'
import { isIpAddress } from '../../tlog/ip-address.ts'
import { jcs } from '../../tlog/jcs.ts'
import { parseStrict } from '../../tlog/json-scan.ts'
import { Tape } from '../../tlog/json-tape.ts'
import { beforeFirstLeaf, readLeafInOrder } from '../../tlog/leaf-order.ts'
import { formatNote, parseNote, parseSignatureLines, signNote, textVerifier } from '../../tlog/note.ts'
import {
  ed25519KeyType,
  formatSkey,
  formatVkey,
  namedKey,
  namedSeed,
  parseSkey,
  parseVkey,
} from '../../tlog/note-key.ts'
import { checkReceipt, parseReceipt } from '../../tlog/receipt.ts'
import { decodeDigitallySigned, encodeDigitallySigned, formatSth, parseSth } from '../../tlog/sth.ts'
import { formatBundlePath, formatTilePath, parseTilePath } from '../../tlog/tile.ts'
import { formatMicroseconds, parseOccurredAt } from '../../tlog/time.ts'
import { formatUuid, parseUuid, parseUuidV7 } from '../../tlog/uuid.ts'
import { checkConsistency, checkInclusion } from '../../tlog/verify.ts'
import { fuzzing, nearly } from './mutation.ts'

// Every parser of tlog/: whatever comes, it gives a value or throws a TlogError. What it gives formats to what came,
// where it says that a value has one spelling.

const keys = ed25519SignerFromSeed(new Uint8Array(32).fill(7))
const publicKeyOf = (seed: Uint8Array): Uint8Array => ed25519SignerFromSeed(seed).publicKey
const key = namedKey('log.example/fuzz', ed25519KeyType, keys.publicKey)
const verifier = textVerifier(key, nodeSignatureCheck)

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes as Hash)
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
const index = fc.oneof(fc.nat(70_000), fc.maxSafeNat())
const time = fc.nat({ max: 8_993_721_599_999_999 })
const bytesOf = (texts: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> => texts.map(encodeUtf8)

const leaf = fc
  .record({
    ...{
      sequenceNumber: fc.maxSafeNat(),
      timestamp: time,
      occurredAt: fc.option(time),
      lamport: fc.option(fc.maxSafeNat()),
    },
    ...{
      actorId: text,
      action: text,
      resource: text,
      clientIp: fc.ipV6(),
      writer: text,
      sourcePosition: fc.option(text),
    },
    ...{ eventId: fc.uint8Array({ minLength: 16, maxLength: 16 }), payloadHash: hash, currentHash: hash },
  })
  .map(encodeLeaf)

const checkpoint = fc
  .tuple(index, hash)
  .map(([size, root]) => formatCheckpoint({ origin: key.name, size: asTreeSize(size), root }))

const note = checkpoint.map((body) => signNote(body, [{ name: key.name, keyId: key.keyId, sign: keys.sign }]))

const width = 3
const bundle = fc
  .array(fc.uint8Array({ maxLength: 40 }), { minLength: width, maxLength: width })
  .map((entries) => encodeEntryBundle(entries))

const sth = fc
  .tuple(index, fc.maxSafeNat(), hash, fc.uint8Array({ minLength: 8, maxLength: 72 }))
  .map(([size, timestampMs, root, signature]) => formatSth({ size: asTreeSize(size), timestampMs, root, signature }))

const vector = readFileSync(join(import.meta.dirname, '..', 'vectors', 'entries', 'entries.json'))
const receipt = fc.tuple(leaf, note, fc.array(hash, { maxLength: 4 })).map(([bytes, signed, hashes]) => ({
  entry: {},
  leaf: formatBase64(bytes),
  inclusionProof: { leafIndex: 0, treeSize: 1, hashes: hashes.map(formatBase64) },
  checkpoint: Buffer.from(signed).toString(),
}))

const evidence = fc
  .tuple(note, note, sth, leaf, fc.array(hash, { maxLength: 4 }))
  .map(([a, b, head, bytes, hashes]) => ({
    ...{ format: evidenceFormat, known: { checkpoint: Buffer.from(a).toString() } },
    shown: hashes.length === 0 ? { sth: head } : { checkpoint: Buffer.from(b).toString() },
    prefix: { size: 3, root: formatBase64(new Uint8Array(32)), hashes: hashes.map(formatBase64) },
    leaves: [{ leafIndex: 0, leaf: formatBase64(bytes), hashes: [], payload: '{}' }],
  }))
const sthSpki = p256Signer(generateP256Pem()).spki

type Parser = {
  readonly name: string
  readonly valid: fc.Arbitrary<Uint8Array>
  /** What of any bytes reaches the parser. */
  readonly arrive: (bytes: Uint8Array) => Uint8Array
  readonly parse: (bytes: Uint8Array) => unknown
  /** The one spelling of what was parsed. */
  readonly format?: (value: never) => Uint8Array | string
}

/** Text arrives as UTF-8 with whatever is none replaced, as HTTP and files give it. */
function ofText<T>(
  name: string,
  valid: fc.Arbitrary<string>,
  parse: (text: string) => T,
  format?: (value: T) => string,
): Parser {
  return {
    name,
    valid: bytesOf(valid),
    arrive: (bytes) => encodeUtf8(Buffer.from(bytes).toString('utf8')),
    parse: (bytes) => parse(Buffer.from(bytes).toString('utf8')),
    ...(format === undefined ? {} : { format: format as (value: never) => string }),
  }
}

function ofBytes<T>(
  name: string,
  valid: fc.Arbitrary<Uint8Array>,
  parse: (bytes: Uint8Array) => T,
  format?: (value: T) => Uint8Array,
): Parser {
  return {
    name,
    valid,
    arrive: (bytes) => bytes,
    parse,
    ...(format === undefined ? {} : { format: format as (value: never) => Uint8Array }),
  }
}

const jsonText = fc.json({ stringUnit: 'binary', maxDepth: 6 })

const parsers: readonly Parser[] = [
  ofText('parseDecimal', index.map(String), (value) => parseDecimal(value, 'n'), String),
  ofText('parseHex', fc.uint8Array().map(formatHex), parseHex, formatHex),
  ofText('parseBase64', fc.uint8Array().map(formatBase64), parseBase64, formatBase64),
  ofText('parseUuid', fc.uuid(), parseUuid),
  ofText('parseUuidV7', fc.uuid({ version: 7 }), parseUuidV7),
  ofText('parseOccurredAt', time.map(formatMicroseconds), parseOccurredAt),
  ofText('isIpAddress', fc.oneof(fc.ipV4(), fc.ipV6()), isIpAddress),
  ofText(
    'parseTilePath',
    fc
      .tuple(fc.nat(63), index, fc.integer({ min: 1, max: 256 }), fc.boolean())
      .map(([level, n, w, isTile]) =>
        isTile ? formatTilePath({ level, index: n, width: w }) : formatBundlePath({ index: n, width: w }),
      ),
    parseTilePath,
    (path) => (path.kind === 'tile' ? formatTilePath(path) : formatBundlePath(path)),
  ),
  ofText('parseVkey', fc.constant(formatVkey(key)), parseVkey, formatVkey),
  ofText(
    'parseSkey',
    fc.constant(formatSkey(namedSeed('a', ed25519KeyType, new Uint8Array(32).fill(7), publicKeyOf))),
    (value) => parseSkey(value, publicKeyOf),
    formatSkey,
  ),
  ofText('parseCheckpoint', checkpoint, parseCheckpoint, (value) => formatCheckpoint(value, value.extensions)),
  ofText(
    'parseSignatureLines',
    note.map((bytes) => Buffer.from(bytes).toString().split('\n\n')[1] ?? ''),
    parseSignatureLines,
  ),
  ofBytes('parseNote', note, parseNote, formatNote),
  ofBytes('openCheckpoint', note, (bytes) => openCheckpoint(bytes, key.name, [verifier])),
  ofBytes('decodeLeaf', leaf, decodeLeaf, encodeLeaf),
  ofBytes('readLeaf', leaf, readLeaf),
  ofBytes('decodeEntryBundle', bundle, (bytes) => decodeEntryBundle(bytes, width), encodeEntryBundle),
  ofBytes('cutEntryBundle', bundle, (bytes) => cutEntryBundle(bytes, width - 1)),
  ofBytes('tileOfEntryBundle', bundle, (bytes) => tileOfEntryBundle(bytes, width)),
  ofBytes(
    'decodeDigitallySigned',
    fc.uint8Array({ minLength: 1, maxLength: 80 }).map(encodeDigitallySigned),
    decodeDigitallySigned,
    encodeDigitallySigned,
  ),
  ofBytes('parseStrict', bytesOf(jsonText), (bytes) => parseStrict(bytes)),
  ofBytes('parseStrict of few values', bytesOf(jsonText), (bytes) => parseStrict(bytes, new Tape(3, 0, 1_024))),
  ofBytes('parseStrict of vectors', fc.constant(new Uint8Array(vector.subarray(0, 4_000))), (bytes) =>
    parseStrict(bytes),
  ),
  ofBytes('parseReceipt, checkReceipt', bytesOf(receipt.map((value) => JSON.stringify(value))), (bytes) =>
    checkReceipt(parseReceipt(bytes), verifier),
  ),
  ofBytes('checkEvidence', bytesOf(evidence.map((value) => JSON.stringify(value))), (bytes) =>
    checkEvidence(parseReceipt(bytes), { verifier, sth: { spki: sthSpki, check: nodeSignatureCheck } }),
  ),
  ofBytes('readLeafInOrder', leaf, (bytes) => readLeafInOrder(0, bytes, beforeFirstLeaf, bytes)),
  ofBytes('parseSth', bytesOf(sth.map((value) => JSON.stringify(value))), (bytes) => parseSth(parseStrict(bytes))),
]

test.each(parsers)(
  '$name gives a value or a TlogError, and of a value the spelling that came',
  ({ valid, arrive, parse, format }) => {
    fc.assert(
      fc.property(nearly(valid).map(arrive), (bytes) => {
        const before = Buffer.from(bytes)
        const parsed = resultOf(() => parse(bytes))
        expect(before.equals(bytes), 'the input is left alone').toBe(true)
        if (parsed === undefined || format === undefined) return
        const spelling = format(parsed.value as never)
        expect(Buffer.from(spelling).equals(before), `${before.toString('hex')} is also ${String(spelling)}`).toBe(true)
      }),
      fuzzing,
    )
  },
)

test('strict JSON has one value however often its canonical text is read', () => {
  fc.assert(
    fc.property(nearly(bytesOf(jsonText)), (bytes) => {
      const parsed = resultOf(() => parseStrict(bytes))
      if (parsed === undefined) return
      const canonical = jcs(parsed.value)
      expect(jcs(parseStrict(encodeUtf8(canonical)))).toBe(canonical)
    }),
    fuzzing,
  )
})

test('a UUID and a time are what they were after they were written', () => {
  fc.assert(
    fc.property(nearly(bytesOf(fc.oneof(fc.uuid(), time.map(formatMicroseconds)))), (bytes) => {
      const value = Buffer.from(bytes).toString('utf8')
      const id = resultOf(() => parseUuid(value))
      if (id !== undefined) expect(parseUuid(formatUuid(id.value))).toEqual(id.value)
      const at = resultOf(() => parseOccurredAt(value))
      if (at !== undefined) expect(parseOccurredAt(formatMicroseconds(at.value))).toBe(at.value)
    }),
    fuzzing,
  )
})

const anyNumber = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.double(), fc.constantFrom(-1, 2 ** 53, Number.NaN))
const anyHashes = fc.array(fc.oneof(hash, fc.uint8Array({ maxLength: 33 })), { maxLength: 60 })

test('no proof of arbitrary hashes and sizes does anything but fail with a TlogError', () => {
  fc.assert(
    fc.property(anyNumber, anyNumber, anyHashes, hash, hash, (a, b, proof, one, other) => {
      resultOf(() => checkInclusion(a as never, b as never, one, proof, other))
      resultOf(() => checkConsistency(a as never, b as never, one, other, proof))
    }),
    fuzzing,
  )
})

/** Undefined where it is refused; any other error than a TlogError is a bug. */
function resultOf<T>(parse: () => T): { readonly value: T } | undefined {
  try {
    return { value: parse() }
  } catch (error) {
    if (error instanceof TlogError) return undefined
    throw error
  }
}
