import { describe, expect, test } from 'vitest'
import { Witnesses } from '../../src/cosign/witnesses.ts'
import { checkMlDsa44, mlDsa44SignerFromSeed } from '../../src/ops/ml-dsa.ts'
import { ed25519SignerFromSeed, nodeSignatureCheck } from '../../src/ops/signing.ts'
import { decodeUtf8, encodeUtf8 } from '../../tlog/bytes.ts'
import { formatCheckpoint } from '../../tlog/checkpoint.ts'
import { asTreeSize } from '../../tlog/coords.ts'
import { type CosigningKey, cosign } from '../../tlog/cosignature.ts'
import { asHash } from '../../tlog/hash.ts'
import { formatSignatureLine, openNote, signNote, textVerifier } from '../../tlog/note.ts'
import { formatVkey, namedKey } from '../../tlog/note-key.ts'

const origin = 'log.example/witnessed'
const check = { ed25519: nodeSignatureCheck.ed25519, mlDsa44: checkMlDsa44 }
const log = ed25519SignerFromSeed(new Uint8Array(32).fill(9))
const logKey = namedKey(origin, 1, log.publicKey)
const logVkey = formatVkey(logKey)
const keys = [1, 2, 3].map((n): CosigningKey => {
  const { publicKey, sign } = ed25519SignerFromSeed(new Uint8Array(32).fill(n))
  return { key: namedKey(`w${n}.example`, 4, publicKey), sign }
})
const postQuantum = ((): CosigningKey => {
  const { publicKey, sign } = mlDsa44SignerFromSeed(new Uint8Array(32).fill(4))
  return { key: namedKey('w1.example', 6, publicKey), sign }
})()

const text = formatCheckpoint({ origin, size: asTreeSize(5), root: asHash(new Uint8Array(32).fill(7), 'root') })
const note = decodeUtf8(signNote(text, [{ name: origin, keyId: logKey.keyId, sign: log.sign }]))
const lineOf = (key: CosigningKey, of = text): string =>
  formatSignatureLine(cosign(key, of, 1_700_000_000)).slice(0, -1)
const [one, two, three] = keys as [CosigningKey, CosigningKey, CosigningKey]
const witnessLine = (name: string, { key }: CosigningKey, url = ''): string =>
  `witness ${name} ${formatVkey(key)} ${url}`.trim()

const policy = (...lines: string[]): Witnesses => Witnesses.parse(encodeUtf8(`${lines.join('\n')}\n`), logVkey, check)
const twoOfThree = policy(
  `log ${logVkey}`,
  ...keys.map((key, i) => witnessLine(`W${i + 1}`, key, `https://w${i + 1}.example/prefix/`)),
  'group two 2 W1 W2 W3',
  'quorum two',
)

describe('a policy', () => {
  test('says whom to ask, by URL', () => {
    const both = policy(
      witnessLine('ed', one, 'https://w1.example/'),
      witnessLine('quiet', two),
      witnessLine('pq', postQuantum, 'https://w1.example/'),
      'quorum pq',
    )
    expect(both.asked.map(({ url, witnesses }) => [url.href, witnesses.map(({ name }) => name)])).toEqual([
      ['https://w1.example/', ['ed', 'pq']],
    ])
    expect(both.known.map(({ name }) => name)).toEqual(['ed', 'quiet', 'pq'])
    expect(both.hold(note, [lineOf(one), lineOf(postQuantum)])).toMatchObject({ isQuorum: true })
    expect(both.hold(note, [lineOf(one), lineOf(two)])).toMatchObject({ isQuorum: false })
  })

  test.each([
    [
      'of another log',
      [`log ${formatVkey(namedKey('other.example', 1, log.publicKey))}`, witnessLine('a', one), 'quorum a'],
      'other logs',
    ],
    ['without a witness', ['quorum none'], 'no witness'],
    ['with a URL that is none', [witnessLine('a', one, 'w1.example'), 'quorum a'], 'http'],
    ['with a file for a URL', [witnessLine('a', one, 'file:///w1'), 'quorum a'], 'http'],
    [
      "with a witness of the log's own name",
      [witnessLine('a', { ...one, key: namedKey(origin, 4, one.key.publicKey) }), 'quorum a'],
      'own name',
    ],
  ])('%s is refused', (_, lines, reason) => {
    expect(() => policy(...lines)).toThrow(reason)
  })

  test('may want no quorum: then nothing is waited for', () => {
    expect(policy(witnessLine('a', one, 'https://w1.example'), 'quorum none').hasQuorum).toBe(false)
    expect(twoOfThree.hasQuorum).toBe(true)
  })
})

describe('lines behind a note', () => {
  test('those that hold are kept, and two of them are the quorum', () => {
    const held = twoOfThree.hold(note, [lineOf(three), lineOf(one)])
    expect(held.isQuorum).toBe(true)
    const verifiers = [textVerifier(logKey, nodeSignatureCheck), ...twoOfThree.known.map(({ verifier }) => verifier)]
    const { verified, unverified } = openNote(encodeUtf8(note + held.lines), verifiers)
    expect(verified.map(({ name }) => name)).toEqual([origin, 'w3.example', 'w1.example'])
    expect(unverified).toEqual([])
  })

  test('what is wrong is left out, so that the note stays readable', () => {
    const other = formatCheckpoint({ origin, size: asTreeSize(6), root: asHash(new Uint8Array(32), 'root') })
    const stranger = ed25519SignerFromSeed(new Uint8Array(32).fill(8))
    const unknown: CosigningKey = { key: namedKey('w1.example', 4, stranger.publicKey), sign: stranger.sign }
    const forged: CosigningKey = { key: two.key, sign: stranger.sign }
    const lines = [
      '',
      'nonsense',
      '— w1.example AAAA',
      lineOf(one, other),
      lineOf(unknown),
      lineOf(forged),
      lineOf(one),
    ]
    const held = twoOfThree.hold(note, [...lines, lineOf(one)])
    expect(held).toEqual({
      ...{ lines: `${lineOf(one)}\n`, isQuorum: false },
      cosigned: [{ witness: 'W1', timeS: 1_700_000_000 }],
    })
  })
})
