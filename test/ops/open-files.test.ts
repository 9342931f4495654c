import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { boundConnections, readOpenFilesMax } from '../../src/ops/open-files.ts'

test('the soft limit is read as the kernel writes it; without a file or a bound there is none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dendrolog-limits-'))
  const file = join(folder, 'limits')
  const read = async (line: string): Promise<number | undefined> => {
    await writeFile(file, `Limit                     Soft Limit           Hard Limit           Units     \n${line}\n`)
    return readOpenFilesMax(file)
  }
  try {
    expect(await read('Max open files            1024                 524288               files     ')).toBe(1024)
    expect(await read('Max open files            unlimited            unlimited            files     ')).toBeUndefined()
    expect(await readOpenFilesMax(join(folder, 'missing'))).toBeUndefined()
  } finally {
    await rm(folder, { recursive: true })
  }
})

test.each([
  [undefined, 16_384],
  [1_048_576, 16_384],
  [16_576, 16_384],
  [16_575, 16_383],
  [1_024, 832],
  [256, 64],
])('with %s open files there are %i connections', (openFiles, connections) => {
  expect(boundConnections(16_384, openFiles)).toBe(connections)
})

test('too few open files to serve are refused with what is wanted', () => {
  expect(() => boundConnections(16_384, 255)).toThrow('may have 255 files open, want at least 256: raise the limit')
})
