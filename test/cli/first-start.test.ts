import { existsSync } from 'node:fs'
import { chmod, readFile, stat } from 'node:fs/promises'
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

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}
