/** A certificate and its key for HTTPS: read from PEM files, and refused unless a server could use them. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import { ConfigError } from '../config.ts'
import { readGivenFile } from '../ops/given-file.ts'
import { readSecretFile } from '../store/secret-file.ts'

/** Where a pair lies; the certificate's file has the server's own first, then those that lead to its CA. */
export type PairFiles = { readonly cert: string; readonly key: string }

/** A pair that fits: PEM texts, and what the certificate says. */
export type KeyPair = {
  readonly cert: string
  readonly key: string
  /** The server's own. */
  readonly certificate: X509Certificate
  /** Unix time at which the first of the certificates expires. */
  readonly expiresAtMs: number
}

const certSetting = 'DENDROLOG_TLS_CERT'
const keySetting = 'DENDROLOG_TLS_KEY'
const certBytesMax = 1_048_576

/** Reads and checks a pair. Throws ConfigErrors that name the setting and what to do; none quotes the key. */
export async function readKeyPair(files: PairFiles): Promise<KeyPair> {
  const [cert, key] = [await readCertificates(files.cert), await readKey(files.key)]
  return checkPair(files, cert, key)
}

/** The server's own certificate, where its key is of no use or may not be read. Throws a ConfigError as `readKeyPair`. */
export async function readCertificate(file: string): Promise<X509Certificate> {
  const [certificate] = parseCertificates(file, await readCertificates(file))
  if (certificate === undefined) throw new ConfigError(certSetting, `${file}: holds no PEM certificate`)
  return certificate
}

/** The name under which a certificate can be verified: `host` itself where it covers that, else its first. */
export function verifiableHost({ certificate }: Pick<KeyPair, 'certificate'>, host: string): string {
  const covered = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)
  if (covered !== undefined) return host
  const names = [...(certificate.subjectAltName ?? '').matchAll(/(?:DNS|IP Address):([^\s,"*]+)/g)]
  return names[0]?.[1] ?? host
}

/** Whether the certificate is its own CA: who verifies it has to be given it. */
export function isSelfSigned({ certificate }: Pick<KeyPair, 'certificate'>): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
}

function checkPair(files: PairFiles, cert: string, key: string): KeyPair {
  const chain = parseCertificates(files.cert, cert)
  const [certificate] = chain
  if (certificate === undefined) throw new ConfigError(certSetting, `${files.cert}: holds no PEM certificate`)
  const privateKey = parseKey(files.key, key)
  if (!certificate.checkPrivateKey(privateKey))
    throw new ConfigError(keySetting, describeMismatch(files, chain, privateKey))
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new ConfigError(certSetting, `${files.cert}: cannot be used: ${messageOf(cause)}`, { cause })
  }
  return { cert, key, certificate, expiresAtMs: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))) }
}

function describeMismatch(files: PairFiles, chain: readonly X509Certificate[], key: KeyObject): string {
  const place = chain.findIndex((certificate) => certificate.checkPrivateKey(key))
  return place < 0
    ? `${files.key}: is not the key of the certificate in ${files.cert}`
    : `${files.key}: is the key of certificate ${place + 1} in ${files.cert}; put that one first there`
}

function parseCertificates(file: string, text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new ConfigError(certSetting, `${file}: certificate ${i + 1} is none: ${messageOf(cause)}`, { cause })
    }
  })
}

function parseKey(file: string, text: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch (cause) {
    const isEncrypted = (cause as { code?: unknown }).code === 'ERR_MISSING_PASSPHRASE'
    const reason = isEncrypted ? 'is encrypted; want a key without a passphrase' : 'holds no PEM private key'
    throw new ConfigError(keySetting, `${file}: ${reason}`, { cause })
  }
}

async function readCertificates(file: string): Promise<string> {
  try {
    return (await readGivenFile(file, certBytesMax)).toString('utf8')
  } catch (error) {
    throw new ConfigError(certSetting, `${file}: cannot be read (${messageOf(error)})`)
  }
}

// What it links to counts: ACME clients and orchestrators renew by moving a link.
async function readKey(file: string): Promise<string> {
  const target = await realpath(file).catch((error: unknown) => {
    throw new ConfigError(keySetting, `${file}: cannot be read (${messageOf(error)})`)
  })
  const text = await readSecretFile(target).catch((error: unknown) => {
    throw new ConfigError(keySetting, messageOf(error))
  })
  if (text === undefined) throw new ConfigError(keySetting, `${file}: is gone`)
  return text
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
