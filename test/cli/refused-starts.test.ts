import { mkdtemp, rm } from 'node:fs/promises'
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
  await rm(parent, { recursive: true, force: true })
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
