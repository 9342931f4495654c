import { chmod, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConfigError } from '../../src/config.ts'
import { isSelfSigned, type PairFiles, readKeyPair, verifiableHost } from '../../src/tls/key-pair.ts'
import { makePair, writePair } from '../support/certificates.ts'

let folder = ''
let files: PairFiles
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-tls-'))
  files = await writePair(folder, await makePair())
})
afterEach(() => rm(folder, { recursive: true }))

async function refusal(): Promise<string> {
  const error: unknown = await readKeyPair(files).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  return (error as Error).message
}

test('a pair that fits is taken, with the names under which it can be verified', async () => {
  const pair = await readKeyPair(files)
  expect(isSelfSigned(pair)).toBe(true)
  expect([verifiableHost(pair, '127.0.0.1'), verifiableHost(pair, '0.0.0.0')]).toEqual(['127.0.0.1', 'localhost'])
})

test('the term of a chain is that of the certificate that expires first', async () => {
  const ca = await makePair({ names: ['a CA'], days: 3, isCa: true })
  const leaf = await makePair({ ca })
  await writePair(folder, { cert: `${leaf.cert}\n${ca.cert}`, key: leaf.key })
  const pair = await readKeyPair(files)
  expect(isSelfSigned(pair)).toBe(false)
  expect(Math.round((pair.expiresAtMs - Date.now()) / 86_400_000)).toBe(3)
})

test('a key that links elsewhere is taken where what it links to is secret', async () => {
  await rename(files.key, join(folder, 'key2.pem'))
  await symlink('key2.pem', files.key)
  await readKeyPair(files)
  await chmod(join(folder, 'key2.pem'), 0o644)
  expect(await refusal()).toMatch(/^DENDROLOG_TLS_KEY: .*key2\.pem: others may read it \(mode 644\): chmod 600$/)
})

test('a key of another certificate is refused, and where it is further behind in the chain that is said', async () => {
  const other = await makePair()
  await writeFile(files.key, other.key)
  expect(await refusal()).toMatch(/^DENDROLOG_TLS_KEY: .*: is not the key of the certificate in .*cert\.pem$/)
  await writeFile(files.cert, `${(await makePair()).cert}\n${other.cert}`)
  expect(await refusal()).toMatch(/is the key of certificate 2 in .*; put that one first there$/)
})

test.each([
  ['cert', 'missing', 'DENDROLOG_TLS_CERT: .*cannot be read \\(ENOENT'],
  ['key', 'missing', 'DENDROLOG_TLS_KEY: .*cannot be read \\(ENOENT'],
  ['cert', 'no PEM', 'DENDROLOG_TLS_CERT: .*holds no PEM certificate'],
  ['key', 'no PEM', 'DENDROLOG_TLS_KEY: .*holds no PEM private key'],
  [
    'cert',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    'DENDROLOG_TLS_CERT: .*certificate 1 is none',
  ],
] as const)('a %s that is %j is refused by its setting', async (which, text, reason) => {
  if (text === 'missing') await rm(files[which])
  else await writeFile(files[which], text)
  expect(await refusal()).toMatch(new RegExp(`^${reason}`))
})
