/** Certificates for HTTPS, made by the test that needs them. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate } from 'selfsigned'

export type TestPair = { readonly cert: string; readonly key: string }

export type TestPairOptions = {
  readonly names?: readonly string[]
  /** Days from now; below 0 it has expired. */
  readonly days?: number
  readonly ca?: TestPair
  readonly isCa?: boolean
}

const dayMs = 86_400_000

/** PEM of a certificate for `localhost` and 127.0.0.1, signed by `ca` or itself, and its P-256 key. */
export async function makePair({
  names = ['localhost'],
  days = 30,
  ca,
  isCa,
}: TestPairOptions = {}): Promise<TestPair> {
  const notAfterDate = new Date(Date.now() + days * dayMs)
  const altNames = [...names.map((value) => ({ type: 2 as const, value })), { type: 7 as const, ip: '127.0.0.1' }]
  const made = await generate([{ name: 'commonName', value: names[0] ?? 'test' }], {
    ...{ keyType: 'ec', curve: 'P-256', algorithm: 'sha256' },
    ...{ notBeforeDate: new Date(Date.now() - 60 * dayMs), notAfterDate },
    ...(ca === undefined ? {} : { ca }),
    extensions: [
      { name: 'basicConstraints', cA: isCa === true, critical: true },
      { name: 'subjectAltName', altNames },
    ],
  })
  return { cert: made.cert, key: made.private }
}

export type PairFile = { readonly cert: string; readonly key: string }

/** Writes `cert.pem` and `key.pem` (0600) into a folder. */
export async function writePair(folder: string, { cert, key }: TestPair): Promise<PairFile> {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  await writeFile(files.cert, cert)
  await writeFile(files.key, key, { mode: 0o600 })
  await chmod(files.key, 0o600)
  return files
}
