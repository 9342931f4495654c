import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct, type OwnActEntry } from '../../tlog/own-act.ts'
import { until } from '../support/log.ts'
import { type Environment, endAll, type ServerProcess, startServer } from '../support/server-process.ts'
import { createCellDatabase, dropDatabase, urlOf } from '../support/servers.ts'
import { makeFolder, removeFolder, run } from './binary.ts'

// The way back in when tokens.json is gone, on every kind of database.

let folder = ''
let dataDir = ''
beforeEach(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
})
afterEach(async () => {
  await endAll(dataDir)
  await removeFolder(folder)
})

async function makeLocal(name: string, environment: Environment): Promise<string> {
  const args = ['tokens', 'make', name, '--role', 'admin', '--local']
  const { status, stdout, stderr } = await run(args, { ...environment, DENDROLOG_DATA_DIR: dataDir })
  expect({ status, stderr }).toMatchObject({ status: 0 })
  return stdout.trim()
}

async function ask({ url }: ServerProcess, secret: string, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  return fetch(`${url}${path}`, { ...init, headers })
}

/** Waits for the entries that tell of tokens; the token that reads them is made with `secret`. */
async function actsOf(server: ServerProcess, secret: string, count: number): Promise<readonly unknown[]> {
  const body = JSON.stringify({ name: `reader-${count}`, role: 'auditor' })
  const made = await ask(server, secret, '/v1/tokens', { method: 'POST', body })
  expect(made.status).toBe(201)
  const { secret: auditor } = (await made.json()) as { secret: string }
  const { vkey } = (await (await fetch(`${server.url}/v1/log`)).json()) as { vkey: string }
  const verifier = textVerifier(parseVkey(vkey), nodeSignatureCheck)
  let found: OwnActEntry[] = []
  await until(
    async () => {
      const entries = await ask(server, auditor, '/v1/entries?action=dendrolog.token.made&order=asc')
      found = ((await entries.json()) as { entries: OwnActEntry[] }).entries
      return found.length >= count
    },
    () => `${count} acts; found ${found.length}`,
  )
  return found.map((entry) => checkOwnAct(entry, verifier))
}

async function expectWayBack(environment: Environment): Promise<void> {
  const first = await startServer(dataDir, environment)
  await writeFile(join(dataDir, 'tokens.json'), '{}')
  const running = await makeLocal('rescue', environment)
  expect(await actsOf(first, running, 2)).toMatchObject([
    { resource: 'token:rescue', actorId: expect.stringMatching(/^local:/) },
    { resource: 'token:reader-2', actorId: 'token:rescue' },
  ])
  expect(await first.stop()).toBe(0)
  const stopped = await makeLocal('rescue-2', environment)
  const second = await startServer(dataDir, environment)
  expect(await actsOf(second, stopped, 4)).toMatchObject([
    ...[{}, {}, { resource: 'token:rescue-2', actorId: expect.stringMatching(/^local:/) }],
    { resource: 'token:reader-4', actorId: 'token:rescue-2' },
  ])
  expect(await second.stop()).toBe(0)
}

test('on an embedded PostgreSQL an administrator is made while the server runs, and while it does not', async () => {
  await expectWayBack({})
}, 120_000)

test('on one of an administrator’s URL likewise', async () => {
  const database = await createCellDatabase()
  try {
    await expectWayBack({
      ...{ DATABASE_URL: urlOf(database), DENDROLOG_ALLOW_UNSAFE_DATABASE: 'true' },
      DENDROLOG_ROLE_PREFIX: 'local_',
    })
  } finally {
    await endAll(dataDir)
    await dropDatabase(database)
  }
}, 120_000)
