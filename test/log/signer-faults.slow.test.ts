import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Signer } from '../../src/log/signer.ts'
import type { SignerCell } from '../../src/log/signer-cell.ts'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { openPool, type Pool, type Query } from '../../src/store/session.ts'
import { createTestLog, origin, recordsOf, schema, submissionOf, submit, type TestLog, until } from '../support/log.ts'
import { sequenceUnsigned } from '../support/sequencer.ts'

let home: TestLog
let connections: Pool
beforeEach(async () => {
  home = await createTestLog()
  connections = openPool(home.database.as('checkpoint_signer_role'), 2, 10_000)
})
afterEach(async () => {
  await connections.close()
  await home.drop()
})

function openSigner(query: Query, cell: SignerCell): Promise<Signer> {
  const { signing, sealKey } = home.keys
  return Signer.open({ origin, sealKey, keys: signing, cell, query, schema, hash: nativeSha256 })
}

function append(from: number, to: number): Promise<void> {
  return sequenceUnsigned(
    home,
    recordsOf(from, to).map((record) => submissionOf(record)),
  )
}

const steps = {
  'read head': '.tree_heads',
  'read tiles': '.tiles',
  'read leaf hashes': '.audit_logs',
  'write cell': undefined,
  'insert checkpoint': 'insert into security.checkpoints',
} as const
type Step = keyof typeof steps

/** Fails from when it is armed on, before or after acting. */
function faulty(step: Step, isDone: boolean): { query: Query; cell: SignerCell; arm: () => void } {
  let isArmed = false
  const strike = async <T>(act: () => Promise<T>): Promise<T> => {
    if (isDone) await act()
    throw new Error(`injected: ${step}`)
  }
  const hits = (text: string): boolean => isArmed && steps[step] !== undefined && text.includes(steps[step])
  return {
    query: (text, values) =>
      hits(text) ? strike(() => connections.query(text, values)) : connections.query(text, values),
    cell: {
      read: home.cell.read,
      write: (checkpoint) =>
        isArmed && step === 'write cell' ? strike(() => home.cell.write(checkpoint)) : home.cell.write(checkpoint),
    },
    arm: () => {
      isArmed = true
    },
  }
}

describe.each(Object.keys(steps) as Step[])('the step "%s" of signing', (step) => {
  test.each([
    { fault: 'failed', isDone: false },
    { fault: 'failed though it was done', isDone: true },
  ])('$fault: the next signer goes on without a gap', async ({ isDone }) => {
    await append(0, 10)
    const { query, cell, arm } = faulty(step, isDone)
    const signer = await openSigner(query, cell)
    await append(10, 600)
    arm()
    await expect(signer.sign(Date.now(), 60_000)).rejects.toThrow(`injected: ${step}`)
    const next = await openSigner(connections.query, home.cell)
    const checkpoint = (await next.sign(Date.now(), 60_000)) ?? next.last
    expect(checkpoint).toMatchObject({ number: 1, treeSize: 600 })
    expect(await home.cell.read()).toMatchObject({ number: 1, note: checkpoint.note })
    await append(600, 610)
    expect(await next.sign(Date.now(), 60_000)).toMatchObject({ number: 2, treeSize: 610 })
    expect(await home.check()).toMatchObject({ size: 610, publishedSize: 610, checkpoints: 3 })
  })
})

test.each(['read head', 'read tiles', 'read leaf hashes'] as const)(
  'where the step "%s" of opening fails, that is what is told: a database that cannot be asked is not FORKED',
  async (step) => {
    await append(0, 600)
    await (await openSigner(connections.query, home.cell)).sign(Date.now(), 60_000)
    const { query, cell, arm } = faulty(step, false)
    arm()
    await expect(openSigner(query, cell)).rejects.toThrow(`injected: ${step}`)
    expect(await home.check()).toMatchObject({ size: 600, publishedSize: 600 })
  },
)

describe('a cell that fails under a running log', () => {
  test.each([
    { fault: 'before writing', isDone: false },
    { fault: 'though it has written', isDone: true },
  ])('$fault: the log opens itself again and publishes', async ({ isDone }) => {
    let failures = 0
    const cell: SignerCell = {
      read: home.cell.read,
      write: async (checkpoint) => {
        if (failures > 0 && failures < 4) {
          failures++
          if (isDone) await home.cell.write(checkpoint)
          throw new Error('injected: cell')
        }
        await home.cell.write(checkpoint)
      },
    }
    const { log, stop } = await home.start({ cell })
    failures = 1
    await submit(log, recordsOf(0, 300))
    await until(
      () => log.published.treeSize === 300,
      () => `published ${log.published.treeSize}`,
    )
    await until(
      () => log.health.isReady,
      () => String(log.health.problem),
    )
    expect(failures).toBe(isDone ? 2 : 4)
    failures = 0
    await submit(log, recordsOf(300, 301))
    await stop()
    expect(await home.check()).toMatchObject({ size: 301, publishedSize: 301 })
  })

  test('a cell that never answers: those who wait for a checkpoint are told', async () => {
    let isStuck = false
    let release: () => void = () => {}
    const cell: SignerCell = {
      read: home.cell.read,
      write: (checkpoint) => {
        if (!isStuck) return home.cell.write(checkpoint)
        return new Promise<void>((resolve) => {
          release = resolve
        }).then(() => home.cell.write(checkpoint))
      },
    }
    const { log, stop } = await home.start({ cell, timing: { unsignedMaxMs: 200 } })
    isStuck = true
    await submit(log, recordsOf(0, 5))
    await expect(log.waitForCheckpoint(5)).rejects.toThrow('could not be published')
    expect(log.health.isReady).toBe(false)
    await expect(submit(log, recordsOf(5, 6))).rejects.toThrow('not been signed')
    isStuck = false
    release()
    await until(
      () => log.health.isReady,
      () => String(log.health.problem),
    )
    await submit(log, recordsOf(5, 6))
    await stop()
    expect(await home.check()).toMatchObject({ size: 6, publishedSize: 6 })
  })
})

test('a checkpoint whose row was written but not answered is published by the next signer, without waiting', async () => {
  await append(0, 3)
  const { query, cell, arm } = faulty('insert checkpoint', true)
  const signer = await openSigner(query, cell)
  arm()
  await expect(signer.sign(Date.now(), 60_000)).rejects.toThrow('injected')
  const { log } = await home.start()
  expect(log.published).toMatchObject({ number: 1, treeSize: 3 })
  await expect(log.waitForCheckpoint(3)).resolves.toMatchObject({ number: 1 })
})
