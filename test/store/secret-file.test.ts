import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSecretFile, removeUnfinished, writeSecretFile } from '../../src/store/secret-file.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-secret-'))
  path = join(folder, 'secret')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('what is written is read again, of mode 0600 whatever the umask, and nothing else is left', async () => {
  const umask = process.umask(0o777)
  await writeSecretFile(path, 'one').finally(() => process.umask(umask))
  await writeSecretFile(path, 'two')
  expect(await readSecretFile(path)).toBe('two')
  expect((await stat(path)).mode % 0o1000).toBe(0o600)
  expect(await readdir(folder)).toEqual(['secret'])
})

test('of many writers at once one stands whole', async () => {
  const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(100_000))
  await Promise.all(texts.map((text) => writeSecretFile(path, text)))
  expect(texts).toContain(await readSecretFile(path))
  expect(await readdir(folder)).toEqual(['secret'])
})

test('a link is neither read nor written through', async () => {
  const other = join(folder, 'other')
  await writeFile(other, 'theirs', { mode: 0o600 })
  await symlink(other, path)
  await symlink(other, `${path}.new`)
  await expect(readSecretFile(path)).rejects.toThrow(`${path}: is a symbolic link`)
  await writeSecretFile(path, 'ours')
  expect([await readFile(other, 'utf8'), await readSecretFile(path)]).toEqual(['theirs', 'ours'])
})

test.each([0o640, 0o604, 0o620, 0o601])('a file of mode %o is refused by its name', async (mode) => {
  await writeFile(path, 'x')
  await chmod(path, mode)
  await expect(readSecretFile(path)).rejects.toThrow(`${path}: others may read it (mode ${mode.toString(8)}): chmod`)
})

test('a folder in place of the file is refused by its name', async () => {
  await expect(readSecretFile(folder)).rejects.toThrow(`${folder}: is no regular file`)
})

test.runIf(process.geteuid?.() === 0)('root reads the file of another user, who does not read root’s', async () => {
  await writeFile(path, 'x', { mode: 0o600 })
  await chown(path, 65_534, 65_534)
  expect(await readSecretFile(path)).toBe('x')
  await chown(path, 0, 0)
  await chmod(folder, 0o711)
  process.seteuid?.(65_534)
  try {
    await expect(readSecretFile(path)).rejects.toThrow(`${path}: this user may not read it; give it to this user`)
  } finally {
    process.seteuid?.(0)
  }
})

test('what a writer left that died is removed, what one writes just now is not', async () => {
  const [old, young] = ['0123456789abcdef', 'fedcba9876543210'].map((id) => join(folder, `.secret.dendrolog-${id}`))
  for (const each of [old, young, path]) await writeFile(each ?? '', 'x', { mode: 0o600 })
  await utimes(old ?? '', 1, 1)
  await utimes(path, 1, 1)
  await removeUnfinished(folder)
  expect((await readdir(folder)).sort()).toEqual(['.secret.dendrolog-fedcba9876543210', 'secret'])
  await removeUnfinished(join(folder, 'missing'))
})
