import type { X509Certificate } from 'node:crypto'
import { type DerElement, derInteger, derOctets, derOid, derParts, derTag, expectDer, readDer } from './der.ts'

// What Node's X509Certificate does not tell of a certificate (RFC 5280), read from its bytes.

const keyUsageOid = '2.5.29.15'
const basicConstraintsOid = '2.5.29.19'
const extendedKeyUsageOid = '2.5.29.37'
const subjectKeyIdOid = '2.5.29.14'
const timeStampingOid = '1.3.6.1.5.5.7.3.8'
/** Bits of keyUsage: digitalSignature and nonRepudiation; keyCertSign. */
const signingBits = 0xc0
const certSignBit = 0x04

type Extension = { readonly isCritical: boolean; readonly value: DerElement }

/** Names of certificates in CMS. */
export function serialNumberOf(certificate: X509Certificate): {
  readonly issuer: Uint8Array
  readonly serialNumber: bigint
  readonly keyId: Uint8Array | undefined
} {
  const [serialNumber, , issuer] = toBeSigned(certificate)
  const keyId = extensionsOf(certificate).get(subjectKeyIdOid)
  return {
    issuer: expectDer(issuer, derTag.sequence, 'issuer').raw,
    serialNumber: derInteger(serialNumber, 'serial number'),
    keyId: keyId && derOctets(keyId.value, 'subject key identifier'),
  }
}

/** Microseconds since 1970, both ends included. */
export function validityOf({ validFrom, validTo }: X509Certificate): { readonly from: number; readonly until: number } {
  return { from: Date.parse(validFrom) * 1_000, until: Date.parse(validTo) * 1_000 }
}

/** Why a certificate is none that may stamp times (RFC 3161 2.3); undefined where it is one. */
export function checkStampingCertificate(certificate: X509Certificate): string | undefined {
  const extensions = extensionsOf(certificate)
  const extended = extensions.get(extendedKeyUsageOid)
  if (extended === undefined) return 'the certificate of its signer is not for time stamps'
  const purposes = derParts(expectDer(extended.value, derTag.sequence, 'extended key usage')).map((each) =>
    derOid(each, 'extended key usage'),
  )
  if (purposes.length !== 1 || purposes[0] !== timeStampingOid) {
    return 'the certificate of its signer is not for time stamps only'
  }
  if (!extended.isCritical)
    return 'the certificate of its signer may be used for other things: its purpose is not critical'
  const usage = keyUsageOf(extensions)
  if (usage !== undefined && ((usage & signingBits) === 0 || (usage & ~signingBits) !== 0)) {
    return 'the key of its signer is for something else than signatures'
  }
  return undefined
}

/** Whether it may issue certificates. */
export function isCertificateAuthority(certificate: X509Certificate): boolean {
  const extensions = extensionsOf(certificate)
  const usage = keyUsageOf(extensions)
  return certificate.ca && extensions.has(basicConstraintsOid) && (usage === undefined || (usage & certSignBit) !== 0)
}

/** The first byte of its bits, which has all that is asked for here. */
function keyUsageOf(extensions: ReadonlyMap<string, Extension>): number | undefined {
  const usage = extensions.get(keyUsageOid)
  return usage && (expectDer(usage.value, derTag.bitString, 'key usage').content[1] ?? 0)
}

/** Serial number, signature, issuer, validity, subject, key, and what follows. */
function toBeSigned({ raw }: X509Certificate): readonly DerElement[] {
  const [tbs] = derParts(expectDer(readDer(raw), derTag.sequence, 'certificate'))
  const parts = derParts(expectDer(tbs, derTag.sequence, 'certificate'))
  return parts[0]?.tag === 0xa0 ? parts.slice(1) : parts
}

function extensionsOf(certificate: X509Certificate): ReadonlyMap<string, Extension> {
  const wrapped = toBeSigned(certificate).find(({ tag }) => tag === 0xa3)
  const list = wrapped === undefined ? undefined : derParts(wrapped)[0]
  if (list === undefined) return new Map()
  return new Map(derParts(list).map(readExtension))
}

function readExtension(element: DerElement): readonly [string, Extension] {
  const parts = derParts(expectDer(element, derTag.sequence, 'extension'))
  const [oid, flag] = parts
  const isCritical = flag?.tag === derTag.boolean && flag.content[0] === 0xff
  return [derOid(oid, 'extension'), { isCritical, value: readDer(derOctets(parts.at(-1), 'extension')) }]
}
