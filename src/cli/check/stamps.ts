import { createHash, X509Certificate } from 'node:crypto'
import type { AuthorityStamp, BundleHead, BundleStamp } from '../../../tlog/bundle.ts'
import { equalBytes } from '../../../tlog/bytes.ts'
import { TlogError } from '../../../tlog/errors.ts'
import { renewalTextAt, stampLeafHash } from '../../../tlog/stamp-renewal.ts'
import { formatMicroseconds } from '../../../tlog/time.ts'
import { type CheckedToken, checkTimeStampToken, TokenError } from '../../anchor/check-token.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { quoteText } from '../command.ts'

/** A time stamp that holds. Microseconds since 1970. */
export type ProvedStamp = {
  readonly authority: string
  readonly subject: string
  readonly time: number
  readonly accuracy: number
  readonly treeSize: number
  /** Whether its certificates, and those of its renewals, come from a root that the caller trusts; otherwise they are the file's own word. */
  readonly isTrusted: boolean
  /** Who stamped it again, each before the certificates of the one before had ended. */
  readonly renewals: readonly { readonly subject: string; readonly time: number }[]
  /** When the certificates of the last one end. */
  readonly validUntil: number
}

/** The stamps of a head. `invalid-signature` where one is not what it should be. */
export function proveStamps(
  head: BundleHead,
  treeSize: number,
  roots: readonly X509Certificate[],
): readonly ProvedStamp[] {
  return head.stamps.map((stamp) => {
    try {
      return proveStamp(stamp, new TextEncoder().encode(head.note), treeSize, roots)
    } catch (cause) {
      if (!(cause instanceof TokenError)) throw cause
      throw new TlogError('invalid-signature', `bundle: time stamp of ${stamp.authority}: ${cause.message}`, { cause })
    }
  })
}

function proveStamp(
  stamp: BundleStamp,
  note: Uint8Array,
  treeSize: number,
  roots: readonly X509Certificate[],
): ProvedStamp {
  const first = proveToken(stamp, note, roots)
  let last = { ...first, bytes: stamp as AuthorityStamp }
  let isTrusted = first.isTrusted
  const renewals: { subject: string; time: number }[] = []
  for (const renewal of stamp.renewals) {
    const next = proveToken(
      renewal,
      renewalTextAt(stampLeafHash(last.bytes, nativeSha256), renewal, nativeSha256),
      roots,
    )
    if (next.checked.time > last.checked.validUntil) {
      throw new TokenError('it was stamped again only after its certificates had ended')
    }
    renewals.push({ subject: next.subject, time: next.checked.time })
    isTrusted &&= next.isTrusted
    last = { ...next, bytes: renewal }
  }
  const { time, accuracy } = first.checked
  const { validUntil } = last.checked
  return {
    authority: stamp.authority,
    subject: first.subject,
    time,
    accuracy,
    treeSize,
    isTrusted,
    renewals,
    validUntil,
  }
}

function proveToken(
  { token, certificates }: AuthorityStamp,
  of: Uint8Array,
  roots: readonly X509Certificate[],
): { readonly checked: CheckedToken; readonly subject: string; readonly isTrusted: boolean } {
  const others = certificates.map(certificateOf)
  const isTrusted = others.some((each) => roots.some(({ raw }) => equalBytes(raw, each.raw)))
  const sha256 = createHash('sha256').update(of).digest()
  const checked = checkTimeStampToken(token, { sha256, roots: isTrusted ? roots : others.slice(-1), others })
  return { checked, subject: (checked.chain[0]?.subject ?? '').replaceAll('\n', ', '), isTrusted }
}

function certificateOf(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw new TokenError('a certificate beside it cannot be read', { cause })
  }
}

/** `nowUs`: stamps whose certificates have ended since are told as such. */
export function describeStamp(stamp: ProvedStamp, nowUs: number): readonly string[] {
  const { subject, time, accuracy, treeSize, isTrusted, renewals, validUntil } = stamp
  const whose = isTrusted ? '' : ", by certificates that are this file's own word: give --roots"
  const by = `says time-stamp authority ${quoteText(subject)} of the tree of size ${treeSize}${whose}`
  const again = renewals.map((each) => `; stamped again ${formatMicroseconds(each.time)} by ${quoteText(each.subject)}`)
  const ended = `    its certificates ended ${formatMicroseconds(validUntil)}, and nobody stamped it again before: who has their keys since can make such a stamp`
  const said = `  existed before ${formatMicroseconds(time + accuracy)}, ${by}${again.join('')}`
  return validUntil < nowUs ? [said, ended] : [said]
}

export function stampJson(stamp: ProvedStamp): Readonly<Record<string, unknown>> {
  const { authority, subject, treeSize, isTrusted, time, accuracy, renewals, validUntil } = stamp
  return {
    ...{ authority, subject, treeSize, isTrusted, before: formatMicroseconds(time + accuracy) },
    renewals: renewals.map((each) => ({ subject: each.subject, at: formatMicroseconds(each.time) })),
    validUntil: formatMicroseconds(validUntil),
  }
}
