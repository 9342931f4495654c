import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import type { Environment } from '../support/server-process.ts'
import {
  createCellDatabase,
  dropDatabase,
  environmentOf,
  expectDone,
  type Ran,
  runProgram,
  urlOf,
} from '../support/servers.ts'

// The real program on a log whose signer remembers in a file, asked for what it must refuse.

let parent = ''
let database: TestDatabase
let cell: Awaited<ReturnType<typeof createCellDatabase>>
let environment: Environment
let shared: Environment
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-refused-'))
  database = await makeDatabase()
  cell = await createCellDatabase()
  environment = environmentOf(database)
  shared = { ...environment, DENDROLOG_SIGNER_STATE: urlOf(cell) }
  await expectDone(runProgram(['init'], folder('first'), environment))
})
afterAll(async () => {
  await database.drop()
  await dropDatabase(cell)
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

function folder(name: string): string {
  return join(parent, name)
}

/** What it said. */
async function expectRefused(running: Promise<Ran>): Promise<string> {
  const { status, output } = await running
  expect({ status, output }).toMatchObject({ status: 2 })
  return output
}

test('a server whose memory was not moved to the shared place says how it is moved', async () => {
  const output = await expectRefused(runProgram(['serve'], folder('first'), shared))
  expect(output).toMatch(/DENDROLOG_SIGNER_STATE: .*its memory is not there yet.*`dendrolog init --move-cell FILE`/)
  expect(output).not.toContain('relation')
})

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

test('a server whose database holds the log of another folder leaves no folder behind', async () => {
  const output = await expectRefused(runProgram(['serve'], folder('other/data'), environment))
  expect(output).toContain('the database holds a log')
  expect(await isThere(folder('other'))).toBe(false)
})

test('a server that is refused to join leaves nothing in its folder', async () => {
  await expectDone(runProgram(['init', '--move-cell', folder('first/signer-state.json')], folder('first'), shared))
  const handed = folder('handed')
  await expectDone(runProgram(['init', '--hand-over', handed], folder('first'), shared))
  await writeFile(join(handed, 'checkpoint'), 'no note')
  const joining = ['init', '--join', handed]
  await expectRefused(runProgram(joining, folder('joined'), shared))
  expect(await isThere(folder('joined'))).toBe(false)
  await mkdir(folder('own'))
  await expectRefused(runProgram(joining, folder('own'), shared))
  expect(await readdir(folder('own'))).toEqual([])
})
