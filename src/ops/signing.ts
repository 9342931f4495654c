import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'

// Ed25519 and ECDSA P-256 by OpenSSL, in the shapes that tlog/ wants injected. Keys are raw bytes there; OpenSSL takes
// them in DER, PKCS#8 and SPKI of RFC 8410.

const seedBytes = 32
const ed25519PublicKeyBytes = 32
const ed25519SignatureBytes = 64
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const p256 = 'prime256v1'

/** False on any signature that does not hold, whatever its form; a TypeError on a key that is not of its kind. */
export const nodeSignatureCheck: {
  ed25519(publicKey32: Uint8Array, message: Uint8Array, signature64: Uint8Array): boolean
  ecdsaP256Sha256(spki: Uint8Array, message: Uint8Array, der: Uint8Array): boolean
} = {
  ed25519(publicKey32, message, signature64) {
    const key = ed25519PublicKey(publicKey32)
    return signature64.length === ed25519SignatureBytes && verify(null, message, key, signature64)
  },
  ecdsaP256Sha256(spki, message, der) {
    return verify('sha256', message, p256PublicKey(spki), der)
  },
}

/** Signs with the 32-byte seed of RFC 8032; `publicKey` is 32 bytes, a signature 64. A TypeError on another length. */
export function ed25519SignerFromSeed(seed: Uint8Array): {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
} {
  if (seed.length !== seedBytes) throw new TypeError(`Ed25519 seed: got ${seed.length} bytes, want ${seedBytes}`)
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(spkiPrefix.length)),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

/**
 * Signs SHA-256 of a message with ECDSA; `spki` is the 91-byte DER of the public key, a signature DER of at most 72
 * bytes that differs each time. A TypeError on a key that is not P-256.
 */
export function p256Signer(privateKeyPem: string): {
  readonly spki: Uint8Array
  sign(message: Uint8Array): Uint8Array
} {
  const key = createPrivateKey(privateKeyPem)
  checkP256(key)
  return {
    spki: new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' })),
    sign: (message) => new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'der' })),
  }
}

/** SubjectPublicKeyInfo (RFC 8410), 44 bytes of DER, of a public key of 32 bytes. */
export function ed25519Spki(publicKey32: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([spkiPrefix, publicKey32]))
}

/** 32 random bytes. */
export function generateEd25519Seed(): Uint8Array {
  return new Uint8Array(randomBytes(seedBytes))
}

/** A new P-256 private key, PKCS#8 in PEM. */
export function generateP256Pem(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: p256 })
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
}

function ed25519PublicKey(raw: Uint8Array): KeyObject {
  if (raw.length !== ed25519PublicKeyBytes) {
    throw new TypeError(`Ed25519 public key: got ${raw.length} bytes, want ${ed25519PublicKeyBytes}`)
  }
  return createPublicKey({ key: Buffer.from(ed25519Spki(raw)), format: 'der', type: 'spki' })
}

function p256PublicKey(spki: Uint8Array): KeyObject {
  const key = importSpki(spki)
  checkP256(key)
  return key
}

function importSpki(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new TypeError(`public key: ${spki.length} bytes are no SPKI`, { cause })
  }
}

function checkP256(key: KeyObject): void {
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (key.asymmetricKeyType !== 'ec' || curve !== p256) {
    throw new TypeError(`key: ${key.asymmetricKeyType} ${curve ?? ''}, want P-256`)
  }
}
