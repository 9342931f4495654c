import { X509Certificate } from 'node:crypto'
import { logAnchorValue, readLogAnchor } from '../../tlog/bundle.ts'
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from '../../tlog/cbor-value.ts'
import type { LogAnchor } from '../../tlog/log-anchor.ts'
import type { TimeStamp } from './time-stamp-client.ts'

/** A stamp as it is stored: all that is needed to check it again, years later and elsewhere. */
export type StampEvidence = {
  /** The log's name for it. */
  readonly authority: string
  readonly token: Uint8Array
  readonly nonce: Uint8Array
  /** The authority's certificate first, the one that was trusted last. */
  readonly chain: readonly X509Certificate[]
}

/** Kind of an anchor in the table; the authority's name has no slash. */
export function stampKindOf(authority: string): string {
  return `rfc3161/${authority}`
}

const version = 1

/** Deterministic CBOR: a map by text. */
export function encodeStampEvidence(authority: string, { token, nonce, checked }: TimeStamp): Uint8Array {
  const evidence: CborMap = new Map<string, CborValue>([
    ['version', version],
    ['authority', authority],
    ['token', token],
    ['nonce', nonce],
    ['certificates', checked.chain.map(({ raw }) => new Uint8Array(raw))],
  ])
  return encodeCbor(evidence)
}

/** Kind of an anchor in another log. */
export function logKindOf(log: string): string {
  return `log/${log}`
}

export function isStamp({ kind }: { readonly kind: string }): boolean {
  return kind.startsWith('rfc3161/')
}

export function isInLog({ kind }: { readonly kind: string }): boolean {
  return kind.startsWith('log/')
}

/** Deterministic CBOR, as in bundles. */
export function encodeLogEvidence(anchor: LogAnchor): Uint8Array {
  return encodeCbor(new Map([...logAnchorValue(anchor), ['version', version] as const]))
}

/** Throws TlogError where it is none; nothing of it is proved. */
export function decodeLogEvidence(bytes: Uint8Array): LogAnchor {
  return readLogAnchor(decodeCbor(bytes))
}

/** Throws TlogError or TypeError where it is none. */
export function decodeStampEvidence(bytes: Uint8Array): StampEvidence {
  const value = decodeCbor(bytes)
  if (!(value instanceof Map) || value.get('version') !== version) throw new TypeError('evidence of another version')
  const [authority, token, nonce] = [value.get('authority'), value.get('token'), value.get('nonce')]
  const certificates: unknown = value.get('certificates')
  const isWhole = typeof authority === 'string' && token instanceof Uint8Array && nonce instanceof Uint8Array
  if (!isWhole || !Array.isArray(certificates)) throw new TypeError('evidence of a time stamp: members are missing')
  return { authority, token, nonce, chain: certificates.map((der: Uint8Array) => new X509Certificate(der)) }
}
