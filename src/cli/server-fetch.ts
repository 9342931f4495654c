import { readGivenFile } from '../ops/given-file.ts'
import { UsageError } from './command.ts'
import { describeError } from './describe-error.ts'

/** `fetch` as the commands use it, on servers of their own CA too. */
export type ServerFetch = (url: string | URL, init: RequestInit) => Promise<Response>

/**
 * Node's own `fetch`; with the PEM file of a CA, one that believes that CA and no other. UsageError where the file is
 * none.
 */
export async function openFetch(caFile: string | undefined): Promise<ServerFetch> {
  if (caFile === undefined) return (url, init) => fetch(url, init)
  const ca = await readCa(caFile)
  // Heavy, and only for this: Node's own takes no CA of its caller's.
  const { Agent, fetch: fetchBy } = await import('undici')
  const dispatcher = new Agent({ connect: { ca } })
  return async (url, init) => (await fetchBy(url, { ...(init as object), dispatcher })) as unknown as Response
}

/** Whether a request failed because the server's certificate is not believed: trying again does not help. */
export function isDistrust(error: unknown): boolean {
  const { code } = Object(error instanceof Error ? error.cause : undefined) as { readonly code?: unknown }
  return distrustCodes.has(String(code))
}

/** Those of OpenSSL's verification (X509_verify_cert_error) that a server's certificate brings about, and Node's own. */
const distrustCodes: ReadonlySet<string> = new Set([
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_UNTRUSTED', 'CERT_REJECTED'],
  ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'INVALID_CA', 'INVALID_PURPOSE', 'ERR_TLS_CERT_ALTNAME_INVALID'],
])

/** The URL of a server, with a slash at its end. */
export function readServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError('--url: want http://host:port or https://host')
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

/** Those of a whole system are some 250 KB. */
const caBytesMax = 8 * 1_048_576

async function readCa(file: string): Promise<string> {
  const bytes = await readGivenFile(file, caBytesMax).catch((error: unknown) => {
    throw new UsageError(`--ca: ${file} cannot be read: ${describeError(error)}`)
  })
  const text = bytes.toString('utf8')
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new UsageError(`--ca: ${file} holds no PEM certificate`)
}
