import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Containment, type Measure } from '../../src/incident/containment.ts'
import { type Contained, readContained } from '../../src/incident/containment-record.ts'
import { until } from '../support/log.ts'
import { corrupt } from './desk.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'dendrolog-containment-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

type Told = readonly [id: string, measures: readonly string[]]

/** Runs measures until its `stop`; what was told is in `told`. */
function runContainment(measures: readonly Measure[]): {
  readonly containment: Containment
  readonly told: Told[]
  readonly stop: () => Promise<void>
} {
  const told: Told[] = []
  const containment = new Containment({
    ...{ dataDir, measures, nowMs: Date.now, untilTold: async () => {}, onContained: () => {} },
    tell: async (id, done) => told.push([id, done.map(({ measure }) => measure)]) > 0,
    onFailed: (error) => {
      throw error
    },
  })
  const stopping = new AbortController()
  const running = containment.run(stopping.signal)
  const stop = (): Promise<void> => {
    stopping.abort()
    return running
  }
  return { containment, told, stop }
}

const quick: Measure = { name: 'quick', carryOut: async () => 'done' }

/** A slow one that ends when it is told to, or stopped. */
function slowMeasure(): { readonly slow: Measure; readonly finish: () => void } {
  const finishing = new AbortController()
  const slow: Measure = {
    name: 'slow',
    isSlow: true,
    carryOut: async (_, __, signal) => {
      const either = AbortSignal.any([signal, finishing.signal])
      if (!either.aborted) await once(either, 'abort')
      if (signal.aborted) throw new Error('stopped')
      return 'done'
    },
  }
  return { slow, finish: () => finishing.abort() }
}

const measuresOf = async (id: string): Promise<readonly Contained[]> => (await readContained(dataDir, id)) ?? []

test('no incident waits for another one’s slow measure, and both are told', async () => {
  const { slow, finish } = slowMeasure()
  const { containment, told, stop } = runContainment([slow, quick])
  for (const id of ['1', '2']) containment.contain({ id, finding: corrupt })
  await until(
    () => told.length === 2,
    () => JSON.stringify(told),
  )
  expect(told).toEqual([
    ['1', ['quick']],
    ['2', ['quick']],
  ])
  finish()
  await until(
    () => told.length === 4,
    () => JSON.stringify(told),
  )
  await stop()
  expect(told.slice(2)).toEqual([
    ['1', ['slow']],
    ['2', ['slow']],
  ])
  expect((await measuresOf('1')).map(({ measure, isDone }) => [measure, isDone])).toEqual([
    ['quick', true],
    ['slow', true],
  ])
})

test('what would be gone is taken before anything is done, and its failure is no matter', async () => {
  const order: string[] = []
  const early: Measure = {
    name: 'early',
    isSlow: true,
    begin: async () => {
      order.push('begin')
      throw new Error('no database')
    },
    carryOut: async () => {
      order.push('early')
      return 'done'
    },
  }
  const first: Measure = { name: 'first', carryOut: async () => String(order.push('first')) }
  const { containment, told, stop } = runContainment([first, early])
  containment.contain({ id: '1', finding: corrupt })
  await until(
    () => told.length === 2,
    () => JSON.stringify(told),
  )
  await stop()
  expect(order).toEqual(['begin', 'first', 'early'])
})

test('what a stopped server had not begun with says so', async () => {
  const { slow } = slowMeasure()
  const { containment, told, stop } = runContainment([quick, slow])
  for (const id of ['1', '2']) containment.contain({ id, finding: corrupt })
  await until(
    () => told.length === 2,
    () => JSON.stringify(told),
  )
  await stop()
  expect(told.length).toBe(4)
  for (const id of ['1', '2']) {
    expect((await measuresOf(id)).map(({ measure, detail }) => [measure, detail])).toEqual([
      ['quick', 'done'],
      ['slow', 'stopped'],
    ])
  }
})
