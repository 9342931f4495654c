import { createPublicKey } from 'node:crypto'
import { type KeyAlgorithm, RemoteKeyError } from './remote-key.ts'

const ed25519Bytes = 32
const p256SpkiPrefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
const pointBytes = 65

/** Of a SubjectPublicKeyInfo in DER the key as `RemoteKey` has it. RemoteKeyError where it is of another algorithm. */
export function publicKeyOf(spki: Uint8Array, algorithm: KeyAlgorithm): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const der = new Uint8Array(key.export({ format: 'der', type: 'spki' }))
  if (algorithm === 'ed25519' && type === 'ed25519') return der.slice(-ed25519Bytes)
  if (algorithm === 'p256' && type === 'ec' && details?.namedCurve === 'prime256v1') return der
  throw new RemoteKeyError(`the key is ${type} ${details?.namedCurve ?? ''}, want ${algorithm}`)
}

/** The same of a point as PKCS#11 has it, in a DER OCTET STRING or bare. */
export function publicKeyOfPoint(encoded: Uint8Array, algorithm: KeyAlgorithm): Uint8Array {
  const bytes = algorithm === 'ed25519' ? ed25519Bytes : pointBytes
  const isWrapped = encoded.length === bytes + 2 && encoded[0] === 0x04 && encoded[1] === bytes
  const point = isWrapped ? encoded.subarray(2) : encoded
  if (point.length !== bytes) throw new RemoteKeyError(`a public key of ${encoded.length} bytes, want ${bytes}`)
  return algorithm === 'ed25519' ? new Uint8Array(point) : publicKeyOf(Buffer.concat([p256SpkiPrefix, point]), 'p256')
}
