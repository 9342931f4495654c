import { derTag, writeDer, writeDerInteger, writeDerOid } from './der.ts'

export const sha256Oid = '2.16.840.1.101.3.4.2.1'

/** Media types of RFC 3161 3.4. */
export const queryMediaType = 'application/timestamp-query'
export const replyMediaType = 'application/timestamp-reply'

export type TimeStampRequest = {
  /** SHA-256 of what is stamped. */
  readonly sha256: Uint8Array
  /** At least 8 random bytes, big endian. */
  readonly nonce: Uint8Array
  /** Object identifier in dots; without one the authority takes its own. */
  readonly policy?: string | undefined
}

/** TimeStampReq (RFC 3161 2.4.1), which asks for the certificates too: a token without them is hard to check years later. */
export function encodeTimeStampRequest({ sha256, nonce, policy }: TimeStampRequest): Uint8Array {
  const algorithm = writeDer(derTag.sequence, writeDerOid(sha256Oid), writeDer(derTag.null))
  const imprint = writeDer(derTag.sequence, algorithm, writeDer(derTag.octetString, sha256))
  return writeDer(
    derTag.sequence,
    writeDerInteger(Uint8Array.of(1)),
    imprint,
    ...(policy === undefined ? [] : [writeDerOid(policy)]),
    writeDerInteger(nonce),
    writeDer(derTag.boolean, Uint8Array.of(0xff)),
  )
}
