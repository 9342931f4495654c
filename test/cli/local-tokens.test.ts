import { cp, stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeLogFile } from '../../src/log/log-file.ts'
import { entryOfAct } from '../../src/log/own-act-entry.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { readOldestActs } from '../../src/store/acts.ts'
import { textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { checkOwnAct } from '../../tlog/own-act.ts'
import { openTestApi, read, type TestApi } from '../support/api.ts'
import { origin, schema } from '../support/log.ts'
import { environmentOf } from '../support/servers.ts'
import { type Environment, type Finished, makeFolder, removeFolder, run } from './binary.ts'

// `tokens make --local`: the real program on the data folder of a log whose server is this process.

let api: TestApi
let folder = ''
let environment: Environment
beforeAll(async () => {
  api = await openTestApi()
  folder = await makeFolder()
  await cp(api.test.folder, join(folder, 'data', 'keys'), { recursive: true })
  await writeLogFile(join(folder, 'data'), { origin, state: 'ready' })
  environment = { ...environmentOf(api.test.database), DENDROLOG_DATA_DIR: join(folder, 'data') }
})
afterAll(async () => {
  await api.close()
  await removeFolder(folder)
})

function make(name: string, args: readonly string[] = [], more: Environment = {}): Promise<Finished> {
  return run(['tokens', 'make', name, '--role', 'admin', '--local', ...args], { ...environment, ...more })
}

test('a token that was made without a server is an administrator’s, and signed acts tell of it', async () => {
  const made = await make('rescue')
  expect([made.status, made.stdout]).toEqual([0, expect.stringMatching(/^dendrolog_[\w-]{43}\n$/)])
  const headers = { authorization: `Bearer ${made.stdout.trim()}` }
  const { status, json } = await read(api.app.request('/v1/tokens', { headers }))
  const by = `local:${userInfo().username}`
  expect([status, (json.tokens as object[]).at(-1)]).toMatchObject([
    200,
    { name: 'rescue', role: 'admin', createdBy: by },
  ])
  const [act, ...others] = await readOldestActs(api.sql, schema, 10)
  expect(others).toEqual([])
  const verifier = textVerifier(parseVkey(api.server.identity.vkey), nodeSignatureCheck)
  expect(act && checkOwnAct(entryOfAct(act), verifier)).toMatchObject({
    ...{ action: 'dendrolog.token.made', actorId: by, resource: 'token:rescue' },
    detail: { role: 'admin', scopes: null, expiresAt: null },
  })
  expect(JSON.stringify(act) + made.stderr).not.toContain(made.stdout.trim())
})

test('a name that is taken is status 2, and leaves no file', async () => {
  const out = join(folder, 'again.token')
  const taken = await make('admin', ['--json', '--out', out])
  expect([taken.status, JSON.parse(taken.stdout)]).toMatchObject([2, { code: 'name-taken' }])
  await expect(stat(out)).rejects.toThrow('ENOENT')
})

test('without the folder of a log, or with another login than that of state, it is status 2', async () => {
  const none = await make('x', [], { DENDROLOG_DATA_DIR: join(folder, 'none') })
  expect(none).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('holds no log') })
  const wrong = await make('x', [], { DENDROLOG_STATE_URL: environment.DENDROLOG_READER_URL ?? '' })
  expect(wrong).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('DENDROLOG_STATE_URL') })
})
