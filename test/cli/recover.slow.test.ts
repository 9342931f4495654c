import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { endAll, startServer, waitUntilReady } from '../support/server-process.ts'
import { expectDone, runProgram } from '../support/servers.ts'

// A log with an embedded PostgreSQL, whose cluster was restored from a backup of files; the newer one was kept.

const copyFolder = (from: string, to: string): Promise<unknown> => promisify(execFile)('cp', ['-a', from, to])
let parent: string
let dataDir: string
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'dendrolog-recover-'))
  dataDir = join(parent, 'data')
})
afterAll(async () => {
  await endAll(dataDir)
  await rm(parent, { recursive: true, force: true, maxRetries: 10 })
})

async function appendAndStop(count: number): Promise<void> {
  const server = await startServer(dataDir, { DENDROLOG_VERIFIER: 'false' })
  await waitUntilReady(server)
  for (let n = 0; n < count; n++) {
    const answer = await fetch(`${server.url}/v1/entries`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { n } }),
    })
    expect(answer.status).toBe(201)
  }
  await server.stop()
}

test('an embedded log is rolled forward from the newer data folder, whose PostgreSQL is started for it', async () => {
  await appendAndStop(2)
  await copyFolder(join(dataDir, 'pg'), join(parent, 'backup'))
  await appendAndStop(3)
  await copyFolder(dataDir, join(parent, 'newer'))
  await rm(join(dataDir, 'pg'), { recursive: true })
  await copyFolder(join(parent, 'backup'), join(dataDir, 'pg'))
  expect(await runProgram(['recover', '--from', parent], dataDir, {})).toMatchObject({ status: 2 })
  const rolled = JSON.parse(
    await expectDone(runProgram(['recover', '--from', join(parent, 'newer'), '--json'], dataDir, {})),
  )
  expect(rolled).toMatchObject({ fromSize: 2, toSize: 5, signedSize: 5, lostCheckpoints: 0 })
  await appendAndStop(1)
  expect(await runProgram(['verify', '--full'], dataDir, {})).toMatchObject({ status: 0 })
})
