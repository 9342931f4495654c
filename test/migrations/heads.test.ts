import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { checkpointRow, connect, headRow, otherRoot, outcome, root } from './ledger.ts'

let database: TestDatabase

beforeEach(async () => {
  database = await makeDatabase()
})

afterEach(() => database.drop())

describe('tree_heads, as the writer', () => {
  test('heads that extend the newest are taken', async () => {
    const writer = await connect(database.as('app_writer_role'))
    expect(await outcome(writer, headRow(0, null))).toBe('ok')
    expect(await outcome(writer, headRow(5, 0))).toBe('ok')
    expect(await outcome(writer, headRow(6, 5))).toBe('ok')
  })

  test('head 0 exists once', async () => {
    const writer = await connect(database.as('app_writer_role'))
    await writer.query(headRow(0, null))
    expect(await outcome(writer, headRow(0, null))).toBe('23505')
    expect(await outcome(writer, headRow(0, null, otherRoot))).toBe('23505')
  })

  test('no head but 0 has no predecessor, and head 0 has none', async () => {
    const writer = await connect(database.as('app_writer_role'))
    expect(await outcome(writer, headRow(7, null))).toBe('23514')
    await writer.query(headRow(0, null))
    expect(await outcome(writer, headRow(0, 0))).toBe('23514')
    expect(await outcome(writer, headRow(-1, null))).toBe('23514')
  })

  test('a second head on an old size is a fork', async () => {
    const writer = await connect(database.as('app_writer_role'))
    await writer.query(headRow(0, null))
    await writer.query(headRow(5, 0))
    await writer.query(headRow(6, 5))
    expect(await outcome(writer, headRow(7, 0))).toBe('23505')
    expect(await outcome(writer, headRow(7, 5))).toBe('23505')
  })

  test('a predecessor that does not exist, or with another root, is refused', async () => {
    const writer = await connect(database.as('app_writer_role'))
    await writer.query(headRow(0, null))
    expect(await outcome(writer, headRow(9, 8))).toBe('23503')
    expect(await outcome(writer, headRow(9, 0, root, otherRoot))).toBe('23503')
    expect(await outcome(writer, headRow(9, 0, root, 'null'))).toBe('23503')
  })

  test('a head that does not grow is refused', async () => {
    const writer = await connect(database.as('app_writer_role'))
    await writer.query(headRow(0, null))
    await writer.query(headRow(5, 0))
    expect(await outcome(writer, headRow(4, 5))).toBe('23514')
  })

  test('of two writers on one head the second waits and is refused', async () => {
    const first = await connect(database.as('app_writer_role'))
    const second = await connect(database.as('app_writer_role'))
    await first.query(headRow(0, null))
    await first.query('begin')
    await first.query(headRow(5, 0))
    const waiting = outcome(second, headRow(6, 0))
    await first.query('commit')
    expect(await waiting).toBe('23505')
  })

  test('after the first writer rolls back the second is taken', async () => {
    const first = await connect(database.as('app_writer_role'))
    const second = await connect(database.as('app_writer_role'))
    await first.query(headRow(0, null))
    await first.query('begin')
    await first.query(headRow(5, 0))
    const waiting = outcome(second, headRow(6, 0))
    await first.query('rollback')
    expect(await waiting).toBe('ok')
  })

  test('hashes of another length are refused', async () => {
    const writer = await connect(database.as('app_writer_role'))
    expect(await outcome(writer, headRow(0, null, `'\\x00'`))).toBe('23514')
    expect(await outcome(writer, headRow(0, null, `decode(repeat('00', 33), 'hex')`))).toBe('23514')
  })
})

describe('checkpoints, as the signer', () => {
  beforeEach(async () => {
    const writer = await connect(database.as('app_writer_role'))
    await writer.query(headRow(0, null))
    await writer.query(headRow(5, 0))
  })

  test('the numbers count from 0 without a gap', async () => {
    const signer = await connect(database.as('checkpoint_signer_role'))
    expect(await outcome(signer, checkpointRow(1, 0, 10))).toBe('DL003')
    expect(await outcome(signer, checkpointRow(0, 0, 10))).toBe('ok')
    expect(await outcome(signer, checkpointRow(2, 0, 20))).toBe('DL003')
    expect(await outcome(signer, checkpointRow(1, 5, 20))).toBe('ok')
    expect(await outcome(signer, checkpointRow(-1, 5, 30))).toBe('DL003')
  })

  test('the newest number again is a conflict, an older one is refused', async () => {
    const signer = await connect(database.as('checkpoint_signer_role'))
    await signer.query(checkpointRow(0, 0, 10))
    await signer.query(checkpointRow(1, 5, 20))
    expect(await outcome(signer, checkpointRow(1, 5, 30))).toBe('23505')
    expect(await outcome(signer, checkpointRow(0, 5, 30))).toBe('DL003')
  })

  test('the same size is signed again, a smaller one is not', async () => {
    const signer = await connect(database.as('checkpoint_signer_role'))
    await signer.query(checkpointRow(0, 5, 10))
    expect(await outcome(signer, checkpointRow(1, 0, 20))).toBe('DL003')
    expect(await outcome(signer, checkpointRow(1, 5, 20))).toBe('ok')
  })

  test('a timestamp that is not later is refused', async () => {
    const signer = await connect(database.as('checkpoint_signer_role'))
    await signer.query(checkpointRow(0, 5, 10))
    expect(await outcome(signer, checkpointRow(1, 5, 10))).toBe('DL003')
    expect(await outcome(signer, checkpointRow(1, 5, 9))).toBe('DL003')
  })

  test('a checkpoint of a head that does not exist is refused', async () => {
    const signer = await connect(database.as('checkpoint_signer_role'))
    expect(await outcome(signer, checkpointRow(0, 4, 10))).toBe('23503')
  })
})
