import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { JournalError, openJournal, replaceJournal } from '../../src/witness/journal.ts'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-journal-'))
  path = join(folder, 'cosigned')
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const record = (n: number, bytes = 40): Uint8Array => new Uint8Array(bytes).fill(n)

async function write(...groups: Uint8Array[][]): Promise<void> {
  const journal = await openJournal(path)
  for (const group of groups) await journal.append(group)
  await journal.close()
}

async function read(): Promise<number[]> {
  const journal = await openJournal(path)
  await journal.close()
  return journal.records.map(([first]) => first ?? -1)
}

test('what was appended is read again, in order', async () => {
  expect(await read()).toEqual([])
  await write([record(1), record(2)], [record(3)])
  await write([record(4)])
  expect(await read()).toEqual([1, 2, 3, 4])
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

describe('of a last group that a crash cut', () => {
  test('at any byte those before it stay, and the next goes behind them', async () => {
    await write([record(1)])
    const before = (await stat(path)).size
    await write([record(2), record(3)])
    const whole = await readFile(path)
    for (let end = before; end < whole.length; end++) {
      await writeFile(path, whole.subarray(0, end))
      expect(await read(), `${end} bytes`).toEqual([1])
      expect((await stat(path)).size).toBe(before)
    }
    await writeFile(path, whole.subarray(0, whole.length - 1))
    await write([record(4)])
    expect(await read()).toEqual([1, 4])
  })

  test('and that was not written in part reads as zeros', async () => {
    await write([record(1)])
    const before = (await stat(path)).size
    await write([record(2, 2_000)])
    const whole = await readFile(path)
    await writeFile(path, Buffer.concat([whole.subarray(0, before + 600), Buffer.alloc(whole.length - before - 600)]))
    expect(await read()).toEqual([1])
    await writeFile(path, Buffer.concat([whole.subarray(0, before), Buffer.alloc(whole.length - before)]))
    expect(await read()).toEqual([1])
  })
})

test('a byte that was changed in what is durable is refused, and the file is left as it is', async () => {
  await write([record(1)], [record(2)], [record(3)])
  const whole = await readFile(path)
  for (let at = 0; at < whole.length; at++) {
    const other = Buffer.from(whole)
    other[at] = (other[at] ?? 0) ^ 1
    await writeFile(path, other)
    await expect(openJournal(path), `byte ${at}`).rejects.toThrow(JournalError)
    expect(await readFile(path)).toEqual(other)
  }
})

test('a journal is replaced by one of the records that are wanted', async () => {
  await write([record(1)], [record(2)])
  await replaceJournal(path, [record(7), record(8, 9_000_000), record(9, 9_000_000)])
  expect(await read()).toEqual([7, 8, 9])
})
