import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeFolder, type RunningServer, removeFolder, run, startServer } from './binary.ts'

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
