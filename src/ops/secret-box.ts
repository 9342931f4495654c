import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'

// Texts under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM encrypts. What a text is called is part of what
// is authenticated: one box cannot stand in the place of another.

/** Another passphrase than the one that it was sealed with, or a box that was altered. */
export class SealedSecretError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'SealedSecretError'
  }
}

const format = 'dendrolog/sealed-secret/1'
/** 32 MiB and a quarter of a second a guess (OWASP's figures for scrypt with this memory). */
const cost = { n: 32_768, r: 8, p: 3 } as const
/** What a box may ask for: whoever altered it must not take more. */
const memoryMax = 268_435_456
const [saltBytes, nonceBytes, keyBytes, tagBytes] = [16, 12, 32, 16]

type Sealed = {
  readonly format: string
  readonly n: number
  readonly r: number
  readonly p: number
  /** Base64, as those below. */
  readonly salt: string
  readonly nonce: string
  /** With the tag behind. */
  readonly ciphertext: string
}

/** Whether a text is sealed, by its beginning. */
export function isSealedSecret(text: string): boolean {
  return text.startsWith(`{"format":"${format}"`)
}

/** A line of JSON, in which `text` is for whoever knows the passphrase. */
export async function sealSecret(name: string, text: string, passphrase: string): Promise<string> {
  const [salt, nonce] = [randomBytes(saltBytes), randomBytes(nonceBytes)]
  const cipher = createCipheriv('aes-256-gcm', await keyOf(passphrase, salt, cost), nonce)
  cipher.setAAD(aadOf(name))
  const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  const texts = { salt: salt.toString('base64'), nonce: nonce.toString('base64') }
  const sealed: Sealed = { format, ...cost, ...texts, ciphertext: ciphertext.toString('base64') }
  return `${JSON.stringify(sealed)}\n`
}

/** The text; SealedSecretError where this passphrase does not open it, or it is no box of this name. */
export async function openSecret(name: string, sealed: string, passphrase: string): Promise<string> {
  const { n, r, p, salt, nonce, ciphertext } = readSealed(sealed)
  const bytes = Buffer.from(ciphertext, 'base64')
  const key = await keyOf(passphrase, Buffer.from(salt, 'base64'), { n, r, p })
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64'), { authTagLength: tagBytes })
    decipher.setAAD(aadOf(name))
    decipher.setAuthTag(bytes.subarray(-tagBytes))
    return Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString('utf8')
  } catch (cause) {
    throw new SealedSecretError('the passphrase does not open it', { cause })
  }
}

function readSealed(text: string): Sealed {
  const value = parsed(text)
  const { n, r, p, salt, nonce, ciphertext } = value
  const isCost = [n, r, p].every((each) => Number.isSafeInteger(each) && (each as number) > 0)
  const isText = [salt, nonce, ciphertext].every((each) => typeof each === 'string')
  if (value.format !== format || !isCost || !isText) throw new SealedSecretError('is no sealed secret of this format')
  const sealed = value as Sealed
  const isPowerOf2 = sealed.n > 1 && Number.isInteger(Math.log2(sealed.n))
  if (!isPowerOf2 || 128 * sealed.n * sealed.r > memoryMax || sealed.p > 16) {
    throw new SealedSecretError('wants more memory or time than any of ours')
  }
  return sealed
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    // The reason would quote the file.
    throw new SealedSecretError('is no sealed secret: not JSON', { cause: (cause as Error).name })
  }
}

function keyOf(passphrase: string, salt: Uint8Array, { n, r, p }: Pick<Sealed, 'n' | 'r' | 'p'>): Promise<Buffer> {
  const derive = promisify<string, Uint8Array, number, object, Buffer>(scrypt)
  return derive(passphrase, salt, keyBytes, { N: n, r, p, maxmem: 2 * memoryMax })
}

function aadOf(name: string): Buffer {
  return Buffer.from(`${format}\0${name}`)
}
