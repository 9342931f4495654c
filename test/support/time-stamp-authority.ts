/** A time-stamp authority: OpenSSL's, behind HTTP, in a folder of its own. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { generate } from 'selfsigned'

export type TestAuthority = {
  readonly url: string
  readonly folder: string
  /** PEM of the certificate that issued its own. */
  readonly root: string
  /** How often it was asked. */
  readonly asked: () => number
  /** From now on it stamps with a new certificate of the same root. */
  readonly renew: (notAfter: Date) => Promise<void>
  readonly close: () => Promise<void>
}

export type TestAuthorityOptions = {
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly keyType?: 'ec' | 'rsa'
  /** Digest of the signature. */
  readonly digest?: string
}

const runFile = promisify(execFile)
const dayMs = 86_400_000
export const testPolicy = '1.3.6.1.4.1.99999.1.1'

/** Certificate and key of an authority, issued by a root of its own. */
export async function makeAuthorityPair(
  { notBefore, notAfter, keyType = 'ec' }: TestAuthorityOptions = {},
  extensions: NonNullable<Parameters<typeof generate>[1]>['extensions'] = [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', timeStamping: true, critical: true },
  ],
  issuer?: { readonly root: string; readonly rootKey: string },
): Promise<{ readonly root: string; readonly rootKey: string; readonly cert: string; readonly key: string }> {
  const keys = keyType === 'ec' ? ({ keyType, curve: 'P-256' } as const) : ({ keyType, keySize: 2048 } as const)
  const dates = {
    notBeforeDate: notBefore ?? new Date(Date.now() - dayMs),
    notAfterDate: notAfter ?? new Date(Date.now() + 365 * dayMs),
  }
  const { root, rootKey } = issuer ?? (await makeRoot(keys))
  const made = await generate([{ name: 'commonName', value: 'Test TSA' }], {
    ...{ ...keys, algorithm: 'sha256', ...dates, extensions },
    ca: { key: rootKey, cert: root },
  })
  return { root, rootKey, cert: made.cert, key: made.private }
}

async function makeRoot(
  keys: { readonly keyType: 'ec'; readonly curve: 'P-256' } | { readonly keyType: 'rsa'; readonly keySize: 2048 },
): Promise<{ readonly root: string; readonly rootKey: string }> {
  const made = await generate([{ name: 'commonName', value: 'Test TSA Root' }], {
    ...{ ...keys, algorithm: 'sha256' },
    ...{ notBeforeDate: new Date(Date.now() - 1000 * dayMs), notAfterDate: new Date(Date.now() + 3650 * dayMs) },
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  })
  return { root: made.cert, rootKey: made.private }
}

export async function startAuthority(options: TestAuthorityOptions = {}): Promise<TestAuthority> {
  const folder = await mkdtemp(join(tmpdir(), 'dendrolog-tsa-'))
  const { root, rootKey, cert, key } = await makeAuthorityPair(options)
  await writeFile(join(folder, 'root.pem'), root)
  await writeFile(join(folder, 'tsa.pem'), cert)
  await writeFile(join(folder, 'tsa.key'), key, { mode: 0o600 })
  await writeFile(join(folder, 'serial'), '01\n')
  await writeFile(join(folder, 'tsa.cnf'), configuration(folder, options.digest ?? 'sha256'))
  let asked = 0
  let last: Promise<unknown> = Promise.resolve()
  const server = createServer((request, response) => {
    // OpenSSL does not lock the file with its serial numbers: one at a time.
    last = last.then(async () => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      asked++
      const [query, reply] = [join(folder, `${asked}.tsq`), join(folder, `${asked}.tsr`)]
      await writeFile(query, Buffer.concat(chunks))
      const args = ['ts', '-reply', '-config', join(folder, 'tsa.cnf'), '-queryfile', query, '-out', reply]
      await runFile('openssl', args, { cwd: folder })
      response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(await readFile(reply))
    })
    last.catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/tsr`, folder, root, asked: () => asked },
    renew: async (notAfter) => {
      const made = await makeAuthorityPair({ ...options, notAfter }, undefined, { root, rootKey })
      await last.catch(() => {})
      await writeFile(join(folder, 'tsa.pem'), made.cert)
      await writeFile(join(folder, 'tsa.key'), made.key, { mode: 0o600 })
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await last.catch(() => {})
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function configuration(folder: string, digest: string): string {
  return `[ tsa ]
default_tsa = tsa_config1
[ tsa_config1 ]
dir = ${folder}
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
certs = $dir/root.pem
signer_key = $dir/tsa.key
signer_digest = ${digest}
default_policy = ${testPolicy}
digests = sha256
accuracy = secs:1
clock_precision_digits = 3
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`
}
