import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { commandHook } from '../../../src/ops/hooks/command.ts'
import { until } from '../../support/log.ts'
import { closed, never, opened } from './alarms.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-hook-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const shell = (script: string): ReturnType<typeof commandHook> => commandHook(['/bin/sh', '-c', script])

test('the program gets the alarm as JSON on its standard input', async () => {
  const out = join(folder, 'out')
  await shell(`cat > ${out}`).deliver(closed, never)
  const { id, news, at, origin, incident } = closed
  expect(JSON.parse(await readFile(out, 'utf8'))).toEqual({
    ...{ id, news, at, origin, severity: 'critical', priority: 1, incident },
  })
})

test('nothing of our environment reaches it', async () => {
  process.env.DENDROLOG_TEST_SECRET = 'secret'
  try {
    await commandHook(['/usr/bin/env', 'sh', '-c', `env > ${join(folder, 'env')}`]).deliver(opened, never)
  } finally {
    delete process.env.DENDROLOG_TEST_SECRET
  }
  const names = (await readFile(join(folder, 'env'), 'utf8')).split('\n').map((line) => line.split('=')[0])
  // A shell sets the others itself.
  expect(names.filter((name) => !['PATH', 'PWD', 'OLDPWD', '_', 'SHLVL', ''].includes(name ?? ''))).toEqual([])
})

test('arguments are no shell’s: what stands in them is not run', async () => {
  const [out, text] = [join(folder, 'args'), `$(touch ${join(folder, 'run')}); *`]
  await commandHook(['/bin/sh', '-c', 'printf %s "$1" > "$0"', out, text]).deliver(opened, never)
  expect(await readFile(out, 'utf8')).toBe(text)
  await expect(readFile(join(folder, 'run'))).rejects.toThrow('ENOENT')
})

test('a program that reads nothing and ends with 0 has the alarm', async () => {
  const long = { ...opened, incident: { ...opened.incident, detail: 'x'.repeat(1_000_000) } }
  await commandHook(['/bin/true']).deliver(long, never)
})

test('any other end is a failure, with what it said last', async () => {
  await expect(shell('echo first >&2; echo no pager >&2; exit 3').deliver(opened, never)).rejects.toThrow(
    /^the command ended with status 3: first\nno pager$/,
  )
  await expect(shell('kill -9 $$').deliver(opened, never)).rejects.toThrow('the command was ended by SIGKILL')
  await expect(commandHook([join(folder, 'none')]).deliver(opened, never)).rejects.toThrow(
    'the command could not be started: ENOENT',
  )
})

test('one that hangs is killed with its children when the signal aborts', async () => {
  const stop = new AbortController()
  const pidFile = join(folder, 'pid')
  const delivering = shell(`sleep 600 & echo $! > ${pidFile}; wait`).deliver(opened, stop.signal)
  const pid = async (): Promise<number> => Number(await readFile(pidFile, 'utf8').catch(() => ''))
  await until(
    async () => (await pid()) > 0,
    () => 'the child’s number',
  )
  stop.abort()
  await expect(delivering).rejects.toThrow('the command was stopped')
  const child = await pid()
  await until(
    async () => !(await isRunning(child)),
    () => 'the end of the child',
  )
})

/** One that ended and that nobody waits for may stay as a zombie. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return status !== '' && !/^\d+ \(.*\) Z/.test(status)
}

test('a child that it leaves behind with its pipe does not hold up the delivery', async () => {
  const startedAt = performance.now()
  await shell('sleep 5 & exit 0').deliver(opened, never)
  expect(performance.now() - startedAt).toBeLessThan(4_000)
})
