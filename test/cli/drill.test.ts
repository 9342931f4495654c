import { readdir } from 'node:fs/promises'
import { afterEach, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from './binary.ts'

// The part of the drill that takes seconds; drill.slow.test.ts has all of it.

let folder: string | undefined
afterEach(async () => {
  if (folder !== undefined) await removeFolder(folder)
})

test('what a client, a login or the owner may not do is refused, and leaves nothing behind', async () => {
  folder = await makeFolder()
  const { status, stdout, stderr } = await run(['drill', '--only', 'refused', '--probe', '1'], { TMPDIR: folder })
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(
    /^42501 permission denied {2,}application role updates, deletes and truncates as app_writer_role/m,
  )
  expect(stdout).toContain('10 of 10 attacks were noticed')
  expect(stdout).toContain('not drilled: witnesses')
  expect(await readdir(folder)).toEqual([])
}, 120_000)
