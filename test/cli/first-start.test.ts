import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolder, printedCommands, type RunningServer, removeFolder, run, runShell, startServer } from './binary.ts'

let folder = ''
let server: RunningServer | undefined

beforeEach(async () => {
  folder = await makeFolder()
})

afterEach(async () => {
  await server?.stop()
  server = undefined
  await removeFolder(folder)
})

test('what a first start prints can be pasted: it appends an event and checks its receipt', async () => {
  server = await startServer(join(folder, "it's a log"))
  const { append, check } = printedCommands(server.stdout)
  expect(append).toMatch(/^curl /)
  expect(await runShell(append, folder)).toMatchObject({ status: 0, stderr: '' })
  const checked = await runShell(check, folder)
  expect(checked).toMatchObject({ status: 0, stderr: '' })
  expect(checked.stdout).toContain('holds: entry 1 "document.read" on "doc/1" by "alice"')
  const { writer } = JSON.parse(await readFile(join(folder, "it's a log", 'tokens.json'), 'utf8')) as { writer: string }
  expect(server.stdout).not.toContain(writer)
})

test('the printed curl fails where the server refuses, and check says what was answered', async () => {
  server = await startServer(join(folder, 'data'))
  const { append, check } = printedCommands(server.stdout)
  const refused = await runShell(append.replace('"actorId":"alice",', ''), folder)
  expect(refused.status).toBe(22)
  const checked = await runShell(check, folder)
  expect(checked).toMatchObject({ status: 2, stdout: expect.stringMatching(/the server answered 400 .*actorId/) })
})

test('a receipt of a running server holds with its key, and a changed one does not', async () => {
  server = await startServer(join(folder, 'data'))
  const { append, check } = printedCommands(server.stdout)
  await runShell(append, folder)
  const path = join(folder, 'receipt.json')
  const receipt = await readFile(path, 'utf8')
  const vkey = /--vkey '([^']+)'/.exec(check)?.[1] ?? ''
  const changed = receipt.replace('"review"', '"revoked"')
  expect(changed).not.toBe(receipt)
  expect(await run(['check', '-', '--vkey', vkey], {}, receipt)).toMatchObject({ status: 0 })
  expect(await run(['check', '-', '--vkey', vkey], {}, changed)).toMatchObject({
    status: 1,
    stdout: expect.stringContaining('does NOT hold: leaf-mismatch: entry.payload'),
  })
  const other = 'log.example.com/tlog+810baef7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4'
  const { status, stdout } = await run(['check', '-', '--vkey', other], {}, receipt)
  expect(status).toBe(2)
  expect(stdout).toMatch(
    /^could not check: unverified-note: the receipt is of another log or key: .*\/tlog\+810baef7$/m,
  )
  const members = async (text: string): Promise<string[]> =>
    Object.keys(JSON.parse((await run(['check', '-', '--vkey', vkey, '--json'], {}, text)).stdout) as object)
  expect(await members(changed)).toEqual(await members(receipt))
})

test('SIGTERM ends server and PostgreSQL with status 0, and a second start finds the same log', async () => {
  const dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  const first = /dendrolog (\S+) is ready/.exec(server.stdout)?.[1]
  expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(true)
  expect(await server.stop()).toBe(0)
  expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(false)
  server = await startServer(dataDir)
  expect(/dendrolog (\S+) is ready/.exec(server.stdout)?.[1]).toBe(first)
})

test('keys and tokens are for their owner alone', async () => {
  const dataDir = join(folder, 'data')
  expect(await run(['init'], { DENDROLOG_DATA_DIR: dataDir })).toMatchObject({ status: 0 })
  const modeOf = async (name: string): Promise<string> => ((await stat(join(dataDir, name))).mode % 0o1000).toString(8)
  expect(await modeOf('')).toBe('711')
  expect(await modeOf('keys')).toBe('700')
  expect(await modeOf('tokens.json')).toBe('600')
  expect(await modeOf('keys/note-key')).toBe('600')
  await chmod(join(dataDir, 'tokens.json'), 0o644)
  const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0' })
  expect({ status, line: lastLine(stderr) }).toEqual({
    status: 2,
    line: expect.stringMatching(/tokens\.json: others may read it \(mode 644\): chmod 600$/),
  })
})

test('a folder without its database is refused with one line that says what to do', async () => {
  const dataDir = join(folder, 'data')
  await run(['init'], { DENDROLOG_DATA_DIR: dataDir })
  await rm(join(dataDir, 'pg'), { recursive: true })
  const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0' })
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(/^dendrolog serve: .* holds the keys of a log, but the database holds none: /)
  expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(false)
})

test('a database without its folder is refused with one line that says what to do', async () => {
  const dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  const password = (await readFile(join(dataDir, 'keys', 'pg-admin-password'), 'utf8')).trim()
  const socketDir = (await readFile(join(dataDir, 'pg', 'postmaster.pid'), 'utf8')).split('\n')[4] ?? ''
  const url = `postgres://dendrolog_admin:${password}@/dendrolog?host=${encodeURIComponent(socketDir)}`
  const environment = { DENDROLOG_DATA_DIR: join(folder, 'other'), DATABASE_URL: url, PORT: '0' }
  const { status, stderr } = await run(['serve'], environment)
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(/^dendrolog serve: the database holds a log, but .*other has not its keys/)
  expect(stderr).not.toContain(password)
  // The log that owns the database is not disturbed.
  expect((await fetch(new URL('/readyz', server.url))).status).toBe(200)
})

test('a second server on a folder is refused', async () => {
  const dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0' })
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(/this data folder is in use by .*; stop it, or choose another folder/)
})

test('a port that is taken is refused by name, and PostgreSQL is stopped again', async () => {
  const dataDir = join(folder, 'data')
  const other = createServer().listen(0, '127.0.0.1')
  try {
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: String(port) })
    expect(status).toBe(2)
    expect(lastLine(stderr)).toMatch(/^dendrolog serve: PORT: 127\.0\.0\.1:\d+ is in use; /)
    expect(stderr).not.toMatch(/^ +at /m)
    expect(existsSync(join(dataDir, 'pg', 'postmaster.pid'))).toBe(false)
  } finally {
    other.close()
  }
})

test('a key that is missing is named', async () => {
  const dataDir = join(folder, 'data')
  await run(['init'], { DENDROLOG_DATA_DIR: dataDir })
  await rename(join(dataDir, 'keys', 'note-key'), join(folder, 'note-key'))
  const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0' })
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(/keys\/note-key: missing; without its keys the log cannot go on/)
})

test('a signer without its memory names the file and what to do', async () => {
  const dataDir = join(folder, 'data')
  await run(['init'], { DENDROLOG_DATA_DIR: dataDir })
  await rename(join(dataDir, 'signer-state.json'), join(folder, 'elsewhere.json'))
  const { status, stderr } = await run(['serve'], { DENDROLOG_DATA_DIR: dataDir, PORT: '0' })
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(
    /DENDROLOG_SIGNER_STATE: \S+data\/signer-state\.json is missing: .* Put that file back/,
  )
})

test.each([
  [
    'a file',
    'taken',
    /DENDROLOG_DATA_DIR: \S+taken\S* cannot be used: a part of it is no folder; move that away \(ENOTDIR\), or set/,
  ],
  ['a link to nowhere', 'dangling', /DENDROLOG_DATA_DIR: \S+dangling cannot be used: .* \(ENOENT\), or set another/],
])('%s in place of the data folder is refused with the path and what to do', async (_, name, want) => {
  await writeFile(join(folder, 'taken'), '')
  await symlink(join(folder, 'nowhere'), join(folder, 'dangling'))
  const { status, stderr } = await run(['init'], { DENDROLOG_DATA_DIR: join(folder, name) })
  expect(status).toBe(2)
  expect(lastLine(stderr)).toMatch(want)
})

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}
