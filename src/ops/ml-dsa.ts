import { randomBytes } from 'node:crypto'
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'

// ML-DSA-44 (FIPS 204, pure, empty context) in the shapes that tlog/ wants injected. Node's own crypto has it from 24.7 on
// only. A signature takes 4 ms, a check 1 ms.

const seedBytes = 32
const publicKeyBytes = 1312
const signatureBytes = 2420

/** False on any signature that does not hold; a TypeError on a public key that is not 1,312 bytes. */
export function checkMlDsa44(publicKey1312: Uint8Array, message: Uint8Array, signature2420: Uint8Array): boolean {
  if (publicKey1312.length !== publicKeyBytes) throw new TypeError(`ML-DSA-44 key: got ${publicKey1312.length} bytes`)
  return signature2420.length === signatureBytes && ml_dsa44.verify(signature2420, message, publicKey1312)
}

/** Signs with the key of a 32-byte seed (FIPS 204 5.1); signatures are hedged: no two are the same. */
export function mlDsa44SignerFromSeed(seed: Uint8Array): {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
} {
  if (seed.length !== seedBytes) throw new TypeError(`ML-DSA-44 seed: got ${seed.length} bytes, want ${seedBytes}`)
  const { publicKey, secretKey } = ml_dsa44.keygen(seed)
  return { publicKey, sign: (message) => ml_dsa44.sign(message, secretKey, { extraEntropy: randomBytes(seedBytes) }) }
}
