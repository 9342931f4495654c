import { type CborMap, type CborValue, encodeCbor } from './cbor-value.ts'
import { type CoseVerifier, coseAlgorithms } from './cose-receipt.ts'
import { derOfRaw } from './ecdsa-signature.ts'
import { TlogError } from './errors.ts'
import { digest, type Hash } from './hash.ts'
import type { SignatureCheck } from './note.ts'
import { isP256Spki } from './note-key.ts'

// COSE_Key (RFC 9052 section 7) of the log's P-256 key, which signs its receipts.

const label = { kty: 1, kid: 2, alg: 3, crv: -1, x: -2, y: -3 } as const
const ec2 = 2
const p256 = 1
const coordinateBytes = 32

/** SHA-256 of the key's required members (RFC 9679): how receipts name it. `malformed-key` on another key's SPKI. */
export function coseThumbprint(spki: Uint8Array): Hash {
  return digest(encodeCbor(requiredMembers(spki)))
}

/** A COSE_KeySet of one key: an array in CBOR. `malformed-key` likewise. */
export function formatCoseKeySet(spki: Uint8Array): Uint8Array {
  const optional = [
    [label.kid, coseThumbprint(spki)],
    [label.alg, coseAlgorithms.es256],
  ] as const
  return encodeCbor([new Map<number | string, CborValue>([...requiredMembers(spki), ...optional])])
}

/** The key by which receipts of a log are checked. `malformed-key` likewise. */
export function p256CoseVerifier(spki: Uint8Array, check: SignatureCheck): CoseVerifier {
  if (!isP256Spki(spki)) throw notP256(spki)
  return {
    algorithms: [coseAlgorithms.es256, coseAlgorithms.esp256],
    verify: (message, signature) => check.ecdsaP256Sha256(spki, message, derOfRaw(signature)),
  }
}

function requiredMembers(spki: Uint8Array): CborMap {
  if (!isP256Spki(spki)) throw notP256(spki)
  return new Map<number, CborValue>([
    [label.kty, ec2],
    [label.crv, p256],
    [label.x, spki.slice(-2 * coordinateBytes, -coordinateBytes)],
    [label.y, spki.slice(-coordinateBytes)],
  ])
}

function notP256(spki: Uint8Array): TlogError {
  return new TlogError('malformed-key', `key: ${spki.length} bytes are no P-256 SPKI`)
}
