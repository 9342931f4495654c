import { TlogError } from './errors.ts'

// ECDSA signatures over P-256 in the two forms that are in use: the DER of RFC 3279 2.2.3, in notes, STHs and X.509, and r
// and s one after the other, in COSE and JOSE.

const integerBytes = 32
const sequenceTag = 0x30
const integerTag = 0x02

/** 64 bytes of a DER signature. `invalid-signature` where it is none of P-256 in its one encoding. */
export function rawOfDer(der: Uint8Array): Uint8Array {
  if (der[0] !== sequenceTag || der[1] !== der.length - 2) throw notDer()
  const out = new Uint8Array(2 * integerBytes)
  const next = putInteger(out, 0, der, 2)
  if (putInteger(out, integerBytes, der, next) !== der.length) throw notDer()
  return out
}

/** The same signature in DER. `invalid-signature` unless it has 64 bytes. */
export function derOfRaw(raw: Uint8Array): Uint8Array {
  if (raw.length !== 2 * integerBytes) throw new TlogError('invalid-signature', `signature of ${raw.length} bytes`)
  const body = [...derInteger(raw.subarray(0, integerBytes)), ...derInteger(raw.subarray(integerBytes))]
  return Uint8Array.of(sequenceTag, body.length, ...body)
}

/** Puts the integer that begins at `at` to `to`; where the next begins. */
function putInteger(out: Uint8Array, to: number, der: Uint8Array, at: number): number {
  const [tag, length = 0, first = 0, second = 0] = der.subarray(at, at + 4)
  const end = at + 2 + length
  if (tag !== integerTag || length === 0 || end > der.length || first >= 0x80) throw notDer()
  // A zero stands only before a byte that would make the number negative.
  const isPadded = first === 0 && length > 1
  if (isPadded && second < 0x80) throw notDer()
  const bytes = der.subarray(at + 2 + (isPadded ? 1 : 0), end)
  if (bytes.length > integerBytes) throw notDer()
  out.set(bytes, to + integerBytes - bytes.length)
  return end
}

function derInteger(bytes: Uint8Array): Uint8Array {
  const firstOther = bytes.findIndex((byte) => byte !== 0)
  const digits = firstOther === -1 ? Uint8Array.of(0) : bytes.subarray(firstOther)
  const padding = (digits[0] as number) >= 0x80 ? [0] : []
  return Uint8Array.of(integerTag, padding.length + digits.length, ...padding, ...digits)
}

function notDer(): TlogError {
  return new TlogError('invalid-signature', 'signature is not the DER of one of P-256')
}
