// OpenSSL as a time-stamp authority behind HTTP: what it costs stands in the figures of whoever asks it.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

export type BenchAuthority = { readonly url: string; readonly certificate: string; readonly stop: () => Promise<void> }

const openssl = promisify(execFile)

/** Its files go into `folder`, which is made. Rejects where there is no `openssl`. */
export async function startAuthority(folder: string): Promise<BenchAuthority> {
  await mkdir(folder)
  const certificate = join(folder, 'tsa.pem')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, 'tsa.key')]
  const purposes = ['extendedKeyUsage=critical,timeStamping', 'keyUsage=critical,digitalSignature']
  const extensions = [...purposes, 'basicConstraints=critical,CA:FALSE'].flatMap((each) => ['-addext', each])
  await openssl('openssl', [
    'req',
    '-x509',
    ...key,
    '-days',
    '30',
    '-subj',
    '/CN=bench',
    ...extensions,
    '-out',
    certificate,
  ])
  await writeFile(join(folder, 'serial'), '01\n')
  await writeFile(join(folder, 'tsa.cnf'), configuration(folder))
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const [query, reply] = [join(folder, 'query'), join(folder, 'reply')]
    await writeFile(query, Buffer.concat(chunks))
    await openssl('openssl', ['ts', '-reply', '-config', join(folder, 'tsa.cnf'), '-queryfile', query, '-out', reply])
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(await readFile(reply))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
  }
  return { url: `http://127.0.0.1:${port}/`, certificate, stop }
}

function configuration(folder: string): string {
  return `[ tsa ]
default_tsa = bench
[ bench ]
serial = ${folder}/serial
crypto_device = builtin
signer_cert = ${folder}/tsa.pem
signer_key = ${folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1.1
digests = sha256
accuracy = secs:1
clock_precision_digits = 3
ess_cert_id_alg = sha256
`
}
