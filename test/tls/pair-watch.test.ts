import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type KeyPair, type PairFiles, readKeyPair } from '../../src/tls/key-pair.ts'
import { PairWatch } from '../../src/tls/pair-watch.ts'
import { makePair, writePair } from '../support/certificates.ts'
import { until } from '../support/log.ts'

const dayMs = 86_400_000
let folder = ''
let files: PairFiles
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-tls-'))
  files = await writePair(folder, await makePair())
})
afterEach(() => rm(folder, { recursive: true }))

/** At once: a file that is half written would be refused too. */
async function replace(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

type Watched = {
  watch: PairWatch
  changed: KeyPair[]
  refused: string[]
  expiring: KeyPair[]
  stop: () => Promise<void>
}

async function watchFiles(everyMs: number, now: () => number = Date.now): Promise<Watched> {
  const [changed, refused, expiring]: [KeyPair[], string[], KeyPair[]] = [[], [], []]
  const watch = new PairWatch(await readKeyPair(files), {
    ...{ files, now, everyMs },
    onChanged: (pair) => changed.push(pair),
    onRefused: (error) => refused.push(String(error)),
    onExpiring: (pair) => expiring.push(pair),
  })
  const stop = new AbortController()
  const running = watch.run(stop.signal)
  return {
    ...{ watch, changed, refused, expiring },
    stop: () => {
      stop.abort()
      return running
    },
  }
}

test('half of a renewal is refused, once, and the old pair stays until the other half is there', async () => {
  const { watch, changed, refused, stop } = await watchFiles(2)
  const first = watch.pair
  const next = await makePair()
  await replace(files.cert, next.cert)
  await until(
    () => refused.length > 0,
    () => 'a refusal',
  )
  expect(watch.pair).toBe(first)
  await replace(files.key, next.key)
  await until(
    () => changed.length === 1,
    () => 'the new pair',
  )
  await stop()
  expect(watch.pair.cert).toBe(next.cert)
  expect(refused).toHaveLength(1)
  expect(refused[0]).toContain('is not the key of the certificate')
})

test('who is woken looks at once, and tells again what it refuses', async () => {
  const { watch, refused, stop } = await watchFiles(1e6)
  await replace(files.key, 'broken')
  for (const count of [1, 2]) {
    watch.wake()
    await until(
      () => refused.length === count,
      () => `refusal ${count}`,
    )
  }
  await stop()
})

test('from 14 days before its end a certificate is warned of, once a day', async () => {
  let nowMs = Date.now() + 15.5 * dayMs
  const { expiring, stop } = await watchFiles(1, () => nowMs)
  const looks = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  await looks()
  expect(expiring).toHaveLength(0)
  for (const warnings of [1, 2]) {
    nowMs += dayMs
    await until(
      () => expiring.length === warnings,
      () => `warning ${warnings}`,
    )
    await looks()
    expect(expiring).toHaveLength(warnings)
  }
  await stop()
})
