import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Batched } from '../../src/ops/batched.ts'

/** Answers when it is told to; remembers what it was asked. */
function asker(): { asked: number[][]; answer: () => void; ask: (keys: readonly number[]) => Promise<number[]> } {
  const asked: number[][] = []
  const answers: (() => void)[] = []
  const ask = (keys: readonly number[]): Promise<number[]> => {
    asked.push([...keys])
    return new Promise((resolve) => {
      answers.push(() => resolve(keys.map((key) => 10 * key)))
    })
  }
  return { asked, ask, answer: () => answers.shift()?.() }
}

test('what is wanted in one turn is asked for together, and each gets its own', async () => {
  const { asked, ask, answer } = asker()
  const batched = new Batched(ask, 10, 1)
  const got = Promise.all([batched.get(1), batched.get(2), batched.get(3)])
  await nextTurn()
  expect(asked).toEqual([[1, 2, 3]])
  answer()
  expect(await got).toEqual([10, 20, 30])
})

test('what comes while as many as may be are under way waits, and goes in questions of the greatest size', async () => {
  const { asked, ask, answer } = asker()
  const batched = new Batched(ask, 2, 1)
  const first = batched.get(1)
  await nextTurn()
  const rest = Promise.all([2, 3, 4, 5].map((key) => batched.get(key)))
  await nextTurn()
  expect(asked).toEqual([[1]])
  answer()
  await first
  await nextTurn()
  answer()
  await nextTurn()
  answer()
  expect(await rest).toEqual([20, 30, 40, 50])
  expect(asked).toEqual([[1], [2, 3], [4, 5]])
})

test('a question that fails fails for all who wanted it, and the next is asked', async () => {
  let isBroken = true
  const batched = new Batched<number, number>(
    (keys) => (isBroken ? Promise.reject(new Error('injected')) : Promise.resolve(keys)),
    10,
    1,
  )
  const both = await Promise.allSettled([batched.get(1), batched.get(2)])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  isBroken = false
  expect(await batched.get(3)).toBe(3)
})

test('one key may fail alone', async () => {
  const batched = new Batched<number, number>(
    async (keys) => keys.map((key) => (key === 2 ? Promise.reject(new Error('two')) : key)),
    10,
    1,
  )
  const [one, two] = await Promise.allSettled([batched.get(1), batched.get(2)])
  expect(one).toEqual({ status: 'fulfilled', value: 1 })
  expect(two).toMatchObject({ status: 'rejected', reason: { message: 'two' } })
})

test('an answer with too few values is a failure', async () => {
  const batched = new Batched<number, number>(async () => [], 10, 1)
  await expect(batched.get(1)).rejects.toThrow('got 0 answers, want 1')
})
