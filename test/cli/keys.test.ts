import { createPublicKey, verify } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeLogFile } from '../../src/log/log-file.ts'
import { createKeys, keyFiles, openKeys, rewriteKeys } from '../../src/log/log-keys.ts'
import { makeFolder, removeFolder, run } from './binary.ts'

const origin = 'log.example/keys'
let folder = ''
let dataDir = ''
let keysFolder = ''

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  keysFolder = join(dataDir, 'keys')
  await mkdir(keysFolder, { recursive: true })
  await createKeys(keysFolder, origin)
  await writeLogFile(dataDir, { origin, state: 'ready' })
})

afterAll(() => removeFolder(folder))

/** All that the command wrote so far. */
const printed: string[] = []

/** Other settings are bad, and no database is there: neither is needed. */
async function keys(...args: string[]): ReturnType<typeof run> {
  const environment = { DENDROLOG_DATA_DIR: dataDir, PORT: 'http', DATABASE_URL: 'postgres://u:p@127.0.0.1:9/x' }
  const finished = await run(['keys', ...args], environment)
  printed.push(finished.stdout, finished.stderr)
  return finished
}

test('show prints origin, public keys and log id, and each private key’s file and mode', async () => {
  const { vkey, sthPublicKey, logId } = await openKeys(keysFolder, origin)
  const { status, stdout } = await keys('show', '--json')
  expect(status).toBe(0)
  const shown = JSON.parse(stdout) as { files: { path: string; mode: string }[] }
  expect(shown).toMatchObject({ origin, vkey, sthPublicKey, logId })
  expect(shown.files.map(({ path, mode }) => [path, mode])).toEqual(
    ['note-key', 'sth-key.pem', 'seal-key'].map((name) => [join(keysFolder, name), '0600']),
  )
  const lines = (await keys('show')).stdout
  for (const text of [origin, vkey, sthPublicKey, logId, join(keysFolder, 'seal-key')]) expect(lines).toContain(text)
})

test('key files are encrypted, opened by the passphrase command alone, and decrypted again', async () => {
  const plain = await Promise.all(keyFiles.map(({ name }) => readFile(join(keysFolder, name), 'utf8')))
  const say = (passphrase: string): string => JSON.stringify(['/bin/echo', passphrase])
  const withPassphrase = (passphrase: string, ...args: string[]): ReturnType<typeof run> =>
    run(['keys', ...args], { DENDROLOG_DATA_DIR: dataDir, DENDROLOG_KEY_PASSPHRASE_COMMAND: say(passphrase) })
  expect((await keys('encrypt')).stderr).toContain('DENDROLOG_KEY_PASSPHRASE_COMMAND: is not set')
  const { vkey } = await openKeys(keysFolder, origin)
  expect(await withPassphrase('one', 'encrypt')).toMatchObject({ status: 0, stderr: '' })
  for (const [i, { name }] of keyFiles.entries()) {
    const text = await readFile(join(keysFolder, name), 'utf8')
    expect(text).toMatch(/^\{"format":"dendrolog\/sealed-secret\/1","n":32768,/)
    expect(text).not.toContain(plain[i]?.trim().slice(-20))
  }
  expect(await withPassphrase('one', 'export')).toMatchObject({ status: 0, stdout: `${vkey}\n` })
  const unlocked = await openKeys(keysFolder, origin, async () => 'one')
  expect(unlocked.vkey).toBe(vkey)
  for (const refused of [await keys('export'), await withPassphrase('two', 'export')]) {
    expect(refused.status).toBe(2)
    expect(refused.stderr).toMatch(/note-key: is encrypted; set|note-key: the passphrase does not open it/)
    expect(refused.stderr).not.toContain('two')
  }
  const again = await withPassphrase('two', 'encrypt', '--old-passphrase-command', say('one'))
  expect(again).toMatchObject({ status: 0, stderr: '' })
  expect((await withPassphrase('one', 'export')).status).toBe(2)
  expect((await withPassphrase('two', 'decrypt', '--json')).stdout).toContain('"done":"decrypted"')
  expect(await Promise.all(keyFiles.map(({ name }) => readFile(join(keysFolder, name), 'utf8')))).toEqual(plain)
})

test.each([
  [['/bin/false'], 'the passphrase command ended with status 1'],
  [['/bin/true'], 'the passphrase command wrote no line'],
  [['/nowhere/x'], 'the passphrase command could not be started (ENOENT)'],
])('a passphrase command that does not say it: %j', async (command, reason) => {
  await rewriteKeys(keysFolder, undefined, async () => 'one')
  const environment = { DENDROLOG_DATA_DIR: dataDir, DENDROLOG_KEY_PASSPHRASE_COMMAND: JSON.stringify(command) }
  const { status, stderr } = await run(['keys', 'show'], environment)
  expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(reason) })
  await rewriteKeys(keysFolder, async () => 'one', undefined)
})

test('exported keys verify what the log signs', async () => {
  const { vkey, sthPublicKey, logId, signing } = await openKeys(keysFolder, origin)
  expect((await keys('export')).stdout).toBe(`${vkey}\n`)
  expect((await keys('export', '--format', 'spki')).stdout).toBe(`${sthPublicKey}\n`)
  const message = Buffer.from('text')
  const [noteSignature, sthSignature] = [await signing.note.sign(message), await signing.sth.sign(message)]
  const { stdout: pem } = await keys('export', '--format', 'pem')
  const [notePem = '', sthPem = ''] = pem.split(/(?<=-----END PUBLIC KEY-----\n)/)
  expect(verify(null, message, notePem, noteSignature)).toBe(true)
  expect(verify('sha256', message, sthPem, sthSignature)).toBe(true)
  const set = JSON.parse((await keys('export', '--format', 'jwk')).stdout) as { keys: Record<string, string>[] }
  expect(set.keys).toMatchObject([
    { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig' },
    { kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', kid: logId },
  ])
  const [note = {}, sth = {}] = set.keys
  const imported = (key: Record<string, string>) => createPublicKey({ key, format: 'jwk' })
  expect(verify(null, message, imported(note), noteSignature)).toBe(true)
  expect(verify('sha256', message, imported(sth), sthSignature)).toBe(true)
  expect(JSON.parse((await keys('export', '--json')).stdout)).toEqual({ format: 'vkey', keys: [vkey] })
})

test('no private key was printed by any of this', async () => {
  const names = await readdir(keysFolder)
  const texts = await Promise.all(names.map((name) => readFile(join(keysFolder, name), 'utf8')))
  const parts = texts.flatMap((text) => text.trim().split(/[\n+]/))
  const secrets = parts.filter((part) => part.length > 30 && !part.startsWith('-'))
  expect(secrets.length).toBeGreaterThanOrEqual(3)
  expect(printed.length).toBeGreaterThanOrEqual(7)
  // The last is the private part of a JWK.
  for (const secret of [...secrets, 'PRIVATE', '"d"']) expect(printed.join('')).not.toContain(secret)
})

test('a key file that others may read is refused, and nothing is shown', async () => {
  const file = join(keysFolder, 'seal-key')
  await chmod(file, 0o640)
  const { status, stdout, stderr } = await keys('show')
  await chmod(file, 0o600)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(stderr).toContain(`${file}: others may read it (mode 640): chmod 600`)
})

test('a folder without a log, and one whose keys are gone, end with status 2 and what to do', async () => {
  const empty = await run(['keys', 'show'], { DENDROLOG_DATA_DIR: join(folder, 'none') })
  expect(empty.status).toBe(2)
  expect(empty.stderr).toContain('holds no log')
  const halfDir = join(folder, 'half')
  await mkdir(join(halfDir, 'keys'), { recursive: true })
  await writeLogFile(halfDir, { origin, state: 'ready' })
  await writeFile(join(halfDir, 'keys', 'seal-key'), '', { mode: 0o600 })
  const half = await run(['keys', 'export'], { DENDROLOG_DATA_DIR: halfDir })
  expect(half).toMatchObject({ status: 2, stdout: '' })
  expect(half.stderr).toContain('note-key: missing')
})
