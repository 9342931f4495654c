import { readSetting } from '../config.ts'
import { readGivenFile } from '../ops/given-file.ts'
import { isSelfSigned, readCertificate, verifiableHost } from '../tls/key-pair.ts'
import { UsageError } from './command.ts'
import { describeError } from './describe-error.ts'

/** `fetch` as the commands use it, on servers of their own CA too. */
export type ServerFetch = (url: string | URL, init: RequestInit) => Promise<Response>

/** A server, as `--url` and `--ca` name it. */
export type ServerPlace = {
  /** Ends in a slash. */
  readonly url: URL
  readonly fetch: ServerFetch
}

/**
 * The server that is named; where none is, the one that `serve` would be with the settings of this environment, at the
 * URL that it prints. Throws UsageError and, where the certificate of that one cannot be read, ConfigError.
 */
export async function openPlace(url: string | undefined, ca: string | undefined): Promise<ServerPlace> {
  if (url !== undefined) return { url: readServerUrl(url), fetch: await openFetch(ca) }
  const [port, file] = [readSetting('PORT'), readSetting('DENDROLOG_TLS_CERT')]
  if (file === '') return { url: readServerUrl(`http://127.0.0.1:${port}`), fetch: await openFetch(ca) }
  const certificate = await readCertificate(file)
  const name = verifiableHost({ certificate }, readSetting('HOST'))
  const host = name.includes(':') ? `[${name}]` : name
  const trusted = ca ?? (isSelfSigned({ certificate }) ? file : undefined)
  return { url: readServerUrl(`https://${host}:${port}`), fetch: await openFetch(trusted) }
}

/** What to do about a request to `url` that was not answered; empty where that is not known. */
export function adviceOn(error: unknown, url: URL): string {
  if (isDistrust(error)) return '; see --ca'
  const code = causeCode(error)
  if (code === 'UND_ERR_SOCKET' && url.protocol === 'http:') return `; if it speaks HTTPS: --url https://${url.host}`
  return notThereCodes.has(code) ? '; start the server, or say with --url or PORT where it is' : ''
}

/** Nobody listens there. */
const notThereCodes: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'])

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
  return distrustCodes.has(causeCode(error))
}

function causeCode(error: unknown): string {
  const { code } = Object(error instanceof Error ? error.cause : undefined) as { readonly code?: unknown }
  return String(code)
}

/** Those of OpenSSL's verification (X509_verify_cert_error) that a server's certificate brings about, and Node's own. */
const distrustCodes: ReadonlySet<string> = new Set([
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'CERT_UNTRUSTED', 'CERT_REJECTED'],
  ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'INVALID_CA', 'INVALID_PURPOSE', 'ERR_TLS_CERT_ALTNAME_INVALID'],
])

/** The URL of a server, with a slash at its end. `name`: where it was given. */
export function readServerUrl(text: string, name = '--url'): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`${name}: want http://host:port or https://host`)
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
