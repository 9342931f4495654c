import { expect, test } from 'vitest'
import { BudgetShare, ByteBudget } from '../../api/byte-budget.ts'
import { Unavailable } from '../../src/log/incident.ts'

const longMs = 30_000

test('who does not wait is refused where there is no room, and a budget that nobody uses has room for anything', () => {
  const budget = new ByteBudget(100)
  budget.take(60)
  expect(() => budget.take(41)).toThrow(Unavailable)
  budget.take(40)
  budget.give(100)
  budget.take(1_000)
  expect(budget.bytesTaken).toBe(1_000)
})

test('those that wait get room in the order in which they came, a small one not before a large one', async () => {
  const budget = new ByteBudget(100, 100)
  budget.take(90)
  const order: string[] = []
  const waiting = [
    budget.takeLater(80, longMs).then(() => order.push('large')),
    budget.takeLater(5, longMs).then(() => order.push('small')),
  ]
  await Promise.resolve()
  expect(order).toEqual([])
  budget.give(90)
  await Promise.all(waiting)
  expect(order).toEqual(['large', 'small'])
  expect(budget.bytesTaken).toBe(85)
})

test('those that wait leave room for those that do not', async () => {
  const budget = new ByteBudget(100, 50)
  await budget.takeLater(40, longMs)
  const waiting = budget.takeLater(20, longMs)
  budget.take(60)
  budget.give(100)
  await waiting
  expect(budget.bytesTaken).toBe(20)
})

test('who waited in vain is refused, and those behind go on', async () => {
  const budget = new ByteBudget(100)
  budget.take(50)
  const large = budget.takeLater(80, 20)
  const small = budget.takeLater(30, longMs)
  await expect(large).rejects.toThrow(Unavailable)
  await small
  expect(budget.bytesTaken).toBe(80)
})

test('what was taken ahead is used first, and given back where it was too much', async () => {
  const budget = new ByteBudget(100)
  const share = new BudgetShare(budget)
  await share.takeAhead(50, longMs)
  share.take(30)
  expect(budget.bytesTaken).toBe(50)
  share.settle()
  expect(budget.bytesTaken).toBe(30)
  share.take(10)
  expect(budget.bytesTaken).toBe(40)
  share.close()
  expect(budget.bytesTaken).toBe(0)
})

test('those of a group get half of what those who wait may have, and others pass them', async () => {
  const budget = new ByteBudget(1_000, 100)
  const [slow, more, other] = ['a', 'a', 'b'].map((group) => new BudgetShare(budget, group))
  await slow?.takeAhead(50, longMs)
  const order: string[] = []
  const waiting = more?.takeAhead(10, longMs).then(() => order.push('more of it'))
  await other?.takeAhead(40, longMs).then(() => order.push('another'))
  expect(order).toEqual(['another'])
  slow?.close()
  await waiting
  expect(order).toEqual(['another', 'more of it'])
  expect(budget.bytesTaken).toBe(50)
})

test('those that do not wait get half of it all as a group, and what is alone gets anything', () => {
  const budget = new ByteBudget(100)
  const [one, two, other] = ['a', 'a', 'b'].map((group) => new BudgetShare(budget, group))
  one?.take(40)
  expect(() => two?.take(20)).toThrow(Unavailable)
  other?.take(60)
  for (const share of [one, other]) share?.close()
  two?.take(150)
  expect(budget.bytesTaken).toBe(150)
})

test('of those that wait with some in hand the oldest comes to its end', async () => {
  const budget = new ByteBudget(100, 50)
  const [oldest, younger] = [new BudgetShare(budget, 'a'), new BudgetShare(budget, 'b')]
  await Promise.all([oldest.takeAhead(25, longMs), younger.takeAhead(25, longMs)])
  const waiting = younger.takeAhead(20, longMs)
  await oldest.takeAhead(20, longMs)
  oldest.close()
  await waiting
  expect(budget.bytesTaken).toBe(45)
})

test('who leaves waits no more', async () => {
  const budget = new ByteBudget(100)
  budget.take(100)
  const share = new BudgetShare(budget, 'a')
  const waiting = expect(share.takeAhead(10, longMs)).rejects.toThrow(Unavailable)
  share.close()
  await waiting
  budget.give(100)
  expect(budget.bytesTaken).toBe(0)
})
