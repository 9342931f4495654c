import { constants, createHash, type KeyObject, verify, X509Certificate } from 'node:crypto'
import { equalBytes } from '../../tlog/bytes.ts'
import { checkStampingCertificate, isCertificateAuthority, serialNumberOf, validityOf } from './certificate.ts'
import { type DerElement, DerError, derInteger, derOctets, derOid, derParts, derTag, expectDer } from './der.ts'
import { sha256Oid } from './time-stamp-request.ts'
import {
  type AlgorithmIdentifier,
  parseAlgorithm,
  parseTimeStampToken,
  type TimeStampToken,
  type TokenSigner,
} from './time-stamp-token.ts'

/** A token does not prove what it should. */
export class TokenError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(`time stamp: ${reason}`, options)
    this.name = 'TokenError'
  }
}

export type TokenExpectation = {
  /** SHA-256 of what was to be stamped. */
  readonly sha256: Uint8Array
  /** What was sent; not compared where it is not known any more. */
  readonly nonce?: Uint8Array | undefined
  readonly policy?: string | undefined
  /** Certificates that are trusted to issue those of time-stamp authorities. */
  readonly roots: readonly X509Certificate[]
  /** Certificates between, or the authority's own, where the token has them not. */
  readonly others?: readonly X509Certificate[]
}

/** What a token proves: that something of this hash existed at `time`, says the authority. Microseconds since 1970. */
export type CheckedToken = {
  readonly time: number
  readonly accuracy: number
  readonly policy: string
  readonly serialNumber: bigint
  /** The authority's certificate first, the root last. */
  readonly chain: readonly X509Certificate[]
  /** When the first certificate of the chain ends: before then the checkpoint is to be stamped again. */
  readonly validUntil: number
}

const digests: ReadonlyMap<string, string> = new Map([
  [sha256Oid, 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
])
/** The digest of each; null: the one of the signer. */
const signatures: ReadonlyMap<string, string | null> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
  ['1.2.840.113549.1.1.1', null],
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
])
const rsaPss = '1.2.840.113549.1.1.10'
const ed25519 = '1.3.101.112'
const attribute = {
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingCertificate: '1.2.840.113549.1.9.16.2.12',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
} as const
const tstInfoOid = '1.2.840.113549.1.9.16.1.4'
const chainMax = 8

/**
 * Checks a token completely (RFC 3161 2.3, RFC 5816, RFC 5652): imprint, nonce, policy; the one signer, its certificate
 * and signature; the chain to one of `roots` at the time of the stamp, and that the certificate is for time stamps only.
 * Revocation is not looked up. TokenError with the reason.
 */
export function checkTimeStampToken(bytes: Uint8Array, expected: TokenExpectation): CheckedToken {
  try {
    return checkParsed(parseTimeStampToken(bytes), expected)
  } catch (error) {
    if (error instanceof DerError) throw new TokenError(error.message, { cause: error })
    throw error
  }
}

function checkParsed(token: TimeStampToken, expected: TokenExpectation): CheckedToken {
  checkInfo(token, expected)
  const { info, signer } = token
  const known = [...token.certificates.map(certificateOf), ...(expected.others ?? []), ...expected.roots]
  const certificate = known.find((each) => isOf(each, signer.id))
  if (certificate === undefined) throw new TokenError("the signer's certificate is not there")
  checkCertificateId(signer, certificate)
  checkAttributes(token)
  if (!isSigned(signer, certificate.publicKey)) throw new TokenError('its signature does not hold')
  const purpose = checkStampingCertificate(certificate)
  if (purpose !== undefined) throw new TokenError(purpose)
  const chain = findChain(certificate, known, expected.roots, info.time)
  const validUntil = Math.min(...chain.map((each) => validityOf(each).until))
  const { time, accuracy, policy, serialNumber } = info
  return { time, accuracy, policy, serialNumber, chain, validUntil }
}

function checkInfo({ info }: TimeStampToken, { sha256, nonce, policy }: TokenExpectation): void {
  if (info.imprint.algorithm !== sha256Oid)
    throw new TokenError(`its hash is no SHA-256, but ${info.imprint.algorithm}`)
  if (!equalBytes(info.imprint.hash, sha256)) throw new TokenError('it is of something else')
  if (nonce !== undefined && info.nonce !== BigInt(`0x${Buffer.from(nonce).toString('hex')}`)) {
    throw new TokenError('its nonce is not the one that was sent')
  }
  if (policy !== undefined && info.policy !== policy)
    throw new TokenError(`its policy is ${info.policy}, want ${policy}`)
}

function certificateOf(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw new TokenError('a certificate in it cannot be read', { cause })
  }
}

function isOf(certificate: X509Certificate, id: TokenSigner['id']): boolean {
  const { issuer, serialNumber, keyId } = serialNumberOf(certificate)
  if ('keyId' in id) return keyId !== undefined && equalBytes(keyId, id.keyId)
  return serialNumber === id.serialNumber && equalBytes(issuer, id.issuer)
}

/** ESSCertIDv2 (RFC 5816), or its forerunner by SHA-1: somebody else's certificate of the same key is not meant. */
function checkCertificateId({ attributes }: TokenSigner, { raw }: X509Certificate): void {
  const [v2, v1] = [attributes.get(attribute.signingCertificateV2), attributes.get(attribute.signingCertificate)]
  const list = derParts(expectDer(v2 ?? v1, derTag.sequence, 'signing certificate'))[0]
  const id = derParts(expectDer(list, derTag.sequence, 'signing certificate'))[0]
  const [first, second] = derParts(expectDer(id, derTag.sequence, 'signing certificate'))
  const hasAlgorithm = v2 !== undefined && first?.tag === derTag.sequence
  const oid = hasAlgorithm ? parseAlgorithm(first, 'signing certificate').oid : sha256Oid
  const digest = v2 === undefined ? 'sha1' : digestOf(oid)
  const want = derOctets(hasAlgorithm ? second : first, 'signing certificate')
  if (equalBytes(createHash(digest).update(raw).digest(), want)) return
  throw new TokenError("the signer's certificate is another than the one that it names")
}

function checkAttributes({ infoBytes, signer }: TimeStampToken): void {
  const { attributes, digestAlgorithm } = signer
  if (derOid(attributes.get(attribute.contentType), 'content type') !== tstInfoOid) {
    throw new TokenError('its signature is over something else than a time stamp')
  }
  const digest = createHash(digestOf(digestAlgorithm)).update(infoBytes).digest()
  if (equalBytes(derOctets(attributes.get(attribute.messageDigest), 'digest'), digest)) return
  throw new TokenError('its content is not what was signed')
}

function isSigned(signer: TokenSigner, publicKey: KeyObject): boolean {
  const { signatureAlgorithm, attributesBytes, signature } = signer
  const { oid } = signatureAlgorithm
  if (oid === ed25519) {
    return publicKey.asymmetricKeyType === 'ed25519' && verify(null, attributesBytes, publicKey, signature)
  }
  if (oid === rsaPss) return isPssSigned(signatureAlgorithm, attributesBytes, publicKey, signature)
  const digest = signatures.get(oid)
  if (digest === undefined) throw new TokenError(`signature algorithm ${oid} is not taken`)
  const isRsa = oid.startsWith('1.2.840.113549.')
  if (publicKey.asymmetricKeyType !== (isRsa ? 'rsa' : 'ec')) throw new TokenError('key and signature are of two kinds')
  return verify(digest ?? digestOf(signer.digestAlgorithm), attributesBytes, publicKey, signature)
}

/** RFC 4055: [0] the digest, [1] MGF1 with the same, [2] the length of the salt. What is left out would mean SHA-1. */
function isPssSigned(
  { parameters }: AlgorithmIdentifier,
  message: Uint8Array,
  key: KeyObject,
  signature: Uint8Array,
): boolean {
  const parts = parameters === undefined ? [] : derParts(parameters)
  const part = (tag: number): DerElement | undefined => {
    const wrapped = parts.find((each) => each.tag === tag)
    return wrapped && derParts(wrapped)[0]
  }
  const digest = digestOf(parseAlgorithm(part(0xa0), 'digest of RSA-PSS').oid)
  const mask = parseAlgorithm(part(0xa1), 'mask of RSA-PSS')
  if (digestOf(parseAlgorithm(mask.parameters, 'mask of RSA-PSS').oid) !== digest) {
    throw new TokenError('RSA-PSS with two digests')
  }
  const saltLength = Number(derInteger(part(0xa2), 'salt of RSA-PSS'))
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return verify(digest, message, { key, padding, saltLength }, signature)
}

/** From the certificate to one that is trusted, each valid at the time and issued by the next. */
function findChain(
  first: X509Certificate,
  known: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  time: number,
): readonly X509Certificate[] {
  const chain = [first]
  for (;;) {
    const last = chain.at(-1) as X509Certificate
    checkValid(last, time)
    if (roots.some(({ raw }) => equalBytes(raw, last.raw))) return chain
    const next = known.find((each) => !chain.includes(each) && isIssuer(each, last))
    if (next === undefined) throw new TokenError('its certificate comes from no authority that is trusted')
    if (chain.length >= chainMax) throw new TokenError('its chain of certificates is too long')
    chain.push(next)
  }
}

function isIssuer(issuer: X509Certificate, issued: X509Certificate): boolean {
  return isCertificateAuthority(issuer) && issued.checkIssued(issuer) && issued.verify(issuer.publicKey)
}

function checkValid(certificate: X509Certificate, time: number): void {
  const { from, until } = validityOf(certificate)
  if (time >= from && time <= until) return
  const name = certificate.subject.replaceAll('\n', ', ')
  throw new TokenError(`the certificate of ${JSON.stringify(name)} was not valid at its time`)
}

function digestOf(oid: string): string {
  const digest = digests.get(oid)
  if (digest === undefined) throw new TokenError(`digest ${oid} is not taken: want SHA-256, SHA-384 or SHA-512`)
  return digest
}
