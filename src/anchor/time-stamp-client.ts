import { createHash, randomBytes } from 'node:crypto'
import { requestOutside } from '../ops/outside-request.ts'
import { type CheckedToken, checkTimeStampToken, type TokenExpectation } from './check-token.ts'
import { encodeTimeStampRequest, queryMediaType, replyMediaType } from './time-stamp-request.ts'
import { parseTimeStampReply } from './time-stamp-token.ts'

export type TimeStampAuthority = Pick<TokenExpectation, 'roots' | 'others' | 'policy'> & {
  readonly url: URL
  readonly timeoutMs: number
}

/** A token that was checked, with all that is needed to check it again. */
export type TimeStamp = {
  readonly token: Uint8Array
  readonly nonce: Uint8Array
  readonly checked: CheckedToken
}

/** Tokens have 1 to 8 kB. */
const replyBytesMax = 65_536
const nonceBytes = 16

/**
 * Asks a time-stamp authority (RFC 3161 3.4) to stamp `data`, of which it sees the hash only. Rejects where it does not
 * answer, refuses, or answers something that does not prove what was asked for.
 */
export async function requestTimeStamp(
  { url, timeoutMs, ...trust }: TimeStampAuthority,
  data: Uint8Array,
  signal: AbortSignal,
): Promise<TimeStamp> {
  const sha256 = createHash('sha256').update(data).digest()
  const nonce = randomBytes(nonceBytes)
  const body = encodeTimeStampRequest({ sha256, nonce, policy: trust.policy })
  const headers = { 'content-type': queryMediaType, accept: replyMediaType }
  const request = { method: 'POST' as const, headers, body, bytesMax: replyBytesMax }
  const { status, bytes, text } = await requestOutside(url, request, timeoutMs, signal)
  if (status !== 200) throw new Error(`status ${status}: ${text.slice(0, 200).trim()}`)
  if (bytes.length >= replyBytesMax) throw new Error(`an answer of ${replyBytesMax} bytes or more`)
  const { token, reason } = parseTimeStampReply(bytes)
  if (token === undefined) throw new Error(`no time stamp: ${reason}`)
  return { token, nonce, checked: checkTimeStampToken(token, { ...trust, sha256, nonce }) }
}
