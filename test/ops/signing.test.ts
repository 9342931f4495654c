import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  ed25519SignerFromSeed,
  generateEd25519Seed,
  generateP256Pem,
  nodeSignatureCheck,
  p256Signer,
} from '../../src/ops/signing.ts'
import { isP256Spki } from '../../tlog/note-key.ts'

const keys = JSON.parse(readFileSync(new URL('../vectors/note/keys.json', import.meta.url), 'utf8')) as {
  keys: { role: string; type: number; seedHex?: string; publicKeyHex?: string }[]
}
const message = Buffer.from('message')

describe('Ed25519', () => {
  const withSeed = keys.keys.filter(({ type, seedHex }) => (type === 1 || type === 4) && seedHex !== undefined)

  test.each(withSeed)('$role: the seed gives the public key', ({ seedHex, publicKeyHex }) => {
    const { publicKey } = ed25519SignerFromSeed(Buffer.from(seedHex ?? '', 'hex'))
    expect(Buffer.from(publicKey).toString('hex')).toBe(publicKeyHex)
  })

  test('the first signature of RFC 8032 7.1 is made and holds', () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
    const { publicKey, sign } = ed25519SignerFromSeed(seed)
    const signature = sign(new Uint8Array(0))
    expect(Buffer.from(signature).toString('hex')).toBe(
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    )
    expect(nodeSignatureCheck.ed25519(publicKey, new Uint8Array(0), signature)).toBe(true)
  })

  test('a signature over another message, by another key or of another length does not hold', () => {
    const { publicKey, sign } = ed25519SignerFromSeed(generateEd25519Seed())
    const signature = sign(message)
    const other = ed25519SignerFromSeed(generateEd25519Seed()).publicKey
    expect(nodeSignatureCheck.ed25519(publicKey, message, signature)).toBe(true)
    expect(nodeSignatureCheck.ed25519(publicKey, Buffer.from('messagf'), signature)).toBe(false)
    expect(nodeSignatureCheck.ed25519(other, message, signature)).toBe(false)
    for (const bytes of [signature.subarray(1), Buffer.concat([signature, signature]), new Uint8Array(0)]) {
      expect(nodeSignatureCheck.ed25519(publicKey, message, bytes)).toBe(false)
    }
  })

  test('keys and seeds of another length throw', () => {
    expect(() => ed25519SignerFromSeed(new Uint8Array(31))).toThrow(TypeError)
    expect(() => nodeSignatureCheck.ed25519(new Uint8Array(33), message, new Uint8Array(64))).toThrow(TypeError)
  })

  test('two seeds differ', () => {
    expect(generateEd25519Seed()).toHaveLength(32)
    expect(generateEd25519Seed()).not.toEqual(generateEd25519Seed())
  })
})

describe('ECDSA P-256', () => {
  const { spki, sign } = p256Signer(generateP256Pem())

  test('a signature holds and two over one message differ', () => {
    const signature = sign(message)
    expect(nodeSignatureCheck.ecdsaP256Sha256(spki, message, signature)).toBe(true)
    expect(signature.length).toBeLessThanOrEqual(72)
    expect(sign(message)).not.toEqual(signature)
  })

  test('the public key is a 91-byte SPKI', () => {
    expect(isP256Spki(spki)).toBe(true)
  })

  test('a signature over another message, by another key or of another form does not hold', () => {
    const signature = sign(message)
    const other = p256Signer(generateP256Pem()).spki
    expect(nodeSignatureCheck.ecdsaP256Sha256(spki, Buffer.from('messagf'), signature)).toBe(false)
    expect(nodeSignatureCheck.ecdsaP256Sha256(other, message, signature)).toBe(false)
    for (const bytes of [
      new Uint8Array(0),
      new Uint8Array(64),
      signature.subarray(1),
      Buffer.concat([signature, Buffer.of(0)]),
    ]) {
      expect(nodeSignatureCheck.ecdsaP256Sha256(spki, message, bytes)).toBe(false)
    }
  })

  test('keys of another curve or kind throw', () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
    const ed25519 = generateKeyPairSync('ed25519')
    for (const { privateKey, publicKey } of [p384, ed25519]) {
      const der = publicKey.export({ format: 'der', type: 'spki' })
      expect(() => nodeSignatureCheck.ecdsaP256Sha256(der, message, new Uint8Array(70))).toThrow(TypeError)
      expect(() => p256Signer(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())).toThrow(TypeError)
    }
    expect(() => nodeSignatureCheck.ecdsaP256Sha256(new Uint8Array(91), message, new Uint8Array(70))).toThrow(TypeError)
  })
})
