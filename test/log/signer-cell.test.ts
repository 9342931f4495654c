import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFileCell } from '../../src/log/signer-cell.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import type { Hash } from '../../tlog/hash.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-cell-'))
  path = join(folder, 'signer-state.json')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const checkpoint: StoredCheckpoint = {
  number: 3,
  treeSize: 2 ** 53 - 1,
  root: new Uint8Array(32).fill(5) as Hash,
  timestampMs: 1_795_314_600_000,
  note: 'example.org/log\n9\nroot\n\n— example.org/log signature\n',
  sthSignature: Uint8Array.of(4, 3, 0, 1, 9),
  coseSignature: new Uint8Array(64).fill(7),
}

test('what is written is read again, by another opening too', async () => {
  const cell = openFileCell(path)
  expect(await cell.read()).toBeUndefined()
  await cell.write({ ...checkpoint, number: 2 })
  await cell.write(checkpoint)
  const found = await openFileCell(path).read()
  const bytes = { root: expect.anything(), sthSignature: expect.anything(), coseSignature: expect.anything() }
  expect(found).toEqual({ ...checkpoint, ...bytes })
  expect(Buffer.from(found?.coseSignature ?? [])).toEqual(Buffer.from(checkpoint.coseSignature ?? []))
  expect(Buffer.from(found?.root ?? [])).toEqual(Buffer.from(checkpoint.root))
  expect(Buffer.from(found?.sthSignature ?? [])).toEqual(Buffer.from(checkpoint.sthSignature))
})

test('a checkpoint from before there were COSE receipts has no signature for them', async () => {
  await openFileCell(path).write({ ...checkpoint, coseSignature: null })
  expect((await openFileCell(path).read())?.coseSignature).toBeNull()
})

test('the file is for its owner alone, and nothing else is left in the folder', async () => {
  await openFileCell(path).write(checkpoint)
  expect((await stat(path)).mode % 0o1000).toBe(0o600)
  expect(await readdir(folder)).toEqual(['signer-state.json'])
})

test('a file that others may read is refused', async () => {
  await openFileCell(path).write(checkpoint)
  await chmod(path, 0o644)
  await expect(openFileCell(path).read()).rejects.toThrow('chmod 600')
})

test('a new file that a crash left half written changes nothing', async () => {
  const cell = openFileCell(path)
  await cell.write(checkpoint)
  await writeFile(`${path}.new`, '{"number":', { mode: 0o600 })
  expect(await cell.read()).toMatchObject({ number: 3 })
  await cell.write({ ...checkpoint, number: 4 })
  expect(await cell.read()).toMatchObject({ number: 4 })
})

test('an end that the log did not sign the checkpoint of is no end', async () => {
  const vkey = 'example.org/log+00000000+AAAA'
  const ending = {
    origin: 'example.org/log',
    vkey,
    checkpoint: checkpoint.note,
    newOrigin: 'b',
    reason: 'c',
    by: 'd',
    endedAt: 'e',
  }
  await openFileCell(path).end(ending)
  await expect(openFileCell(path).read()).rejects.toThrow('not what a signer wrote')
})

test.each(['', '{}', 'null', '{"number":1.5}', '[]'])(
  'a file with %j is not taken for an empty memory',
  async (text) => {
    await writeFile(path, text, { mode: 0o600 })
    await expect(openFileCell(path).read()).rejects.toThrow('not what a signer wrote')
  },
)

test('a folder that cannot be written to fails the write', async () => {
  await expect(openFileCell(join(folder, 'missing', 'state.json')).write(checkpoint)).rejects.toThrow('ENOENT')
})
