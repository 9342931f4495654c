import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { makeFolder, removeFolder, run } from './binary.ts'

// Every attack that what is built should notice, with the real servers, verifiers and alarms.

type Report = {
  readonly attacks: readonly { readonly name: string; readonly caught: boolean; readonly detail: string }[]
}

let folder: string | undefined
afterEach(async () => {
  if (folder !== undefined) await removeFolder(folder)
  folder = undefined
})

test('every attack is noticed', async () => {
  const { status, stdout, stderr } = await run(['drill', '--probe', '2', '--json'])
  expect(stderr).toBe('')
  const { attacks } = JSON.parse(stdout) as Report
  expect(attacks.filter(({ caught }) => !caught)).toEqual([])
  expect(attacks.length).toBeGreaterThanOrEqual(55)
  expect(status).toBe(0)
}, 400_000)

test('without a verifier an attack is not noticed, and the drill fails', async () => {
  const { status, stdout } = await run(['drill', '--only', 'rows', '--probe', '1', '--without-verifier'])
  expect(status).toBe(1)
  // What serves searches reads rows too, and tells of those that are not the tree's: not of which column it is.
  expect(stdout).toMatch(/\b[0-9] of 11 attacks were noticed/)
  expect(stdout).toMatch(/NOT NOTICED +superuser edits a payload/)
}, 400_000)

test('--keep leaves the copies, and a group that is none is named', async () => {
  folder = await makeFolder()
  const environment = { TMPDIR: folder }
  const { status, stdout } = await run(['drill', '--only', 'registered_id', '--keep', '--json'], environment)
  const report = JSON.parse(stdout) as { attacks: object[]; folder: string }
  expect(status).toBe(0)
  expect(report.attacks).toMatchObject([{ finding: 'KNOWN_IDS_MISMATCH', caught: true, as: 'thief of a login' }])
  expect(report.folder.startsWith(join(folder, 'dendrolog-drill-'))).toBe(true)
  expect(await readdir(join(report.folder, 'logs', 'registered_id'))).toContain('signer-state.json')
  expect(await run(['drill', '--only', 'nothing'], environment)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--only: there is no "nothing"'),
  })
}, 120_000)

test('what a client, a login or the owner may not do is refused, and leaves nothing behind', async () => {
  folder = await makeFolder()
  const { status, stdout, stderr } = await run(['drill', '--only', 'refused', '--probe', '1'], { TMPDIR: folder })
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(
    /^42501 permission denied {2,}application role updates, deletes and truncates as app_writer_role/m,
  )
  expect(stdout).toContain('10 of 10 attacks were noticed')
  expect(stdout).toContain('not drilled: time-stamp authorities')
  expect(await readdir(folder)).toEqual([])
}, 120_000)
