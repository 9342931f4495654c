import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { actOf, deleteActs, insertAct, readOldestActs, type SignedAct } from '../../src/store/acts.ts'
import { isOutage } from '../../src/store/outage.ts'
import { openPool, type Pool } from '../../src/store/session.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { schema } from '../support/log.ts'

let database: TestDatabase
let admin: Pool
let state: Pool
beforeAll(async () => {
  database = await makeDatabase()
  admin = openPool(database.admin, 1, 10_000)
  state = openPool(database.as('app_state_role'), 1, 10_000)
})
beforeEach(() => admin.query('delete from security_state.acts'))
afterAll(async () => {
  await Promise.all([admin.close(), state.close()])
  await database.drop()
})

function actNumber(n: number): SignedAct {
  return {
    id: `01893f9c-3488-7000-8000-${n.toString(16).padStart(12, '0')}`,
    action: 'dendrolog.token.made',
    actorId: 'token:admin',
    resource: 'token:billing',
    occurredAt: 1_700_000_000_000_001 + n,
    detail: { role: 'writer', expiresAt: null, list: [1, 'ü', { '10': 0.1 }] },
    signature: 'text\n\n— name base64\n',
  }
}

test('acts come back as they were put in, the oldest first, until they are taken out', async () => {
  for (const n of [3, 1, 2]) await insertAct(state.query, schema, actNumber(n))
  expect(await readOldestActs(state.query, schema, 2)).toEqual([actNumber(3), actNumber(1)])
  await deleteActs(state.query, schema, [actNumber(3).id, actNumber(1).id])
  expect(await readOldestActs(state.query, schema, 10)).toEqual([actNumber(2)])
})

test('what a statement changes and the act that tells of it are there together, or neither is', async () => {
  const name = 'dendrolog'
  const set = (n: number, size: number): Promise<unknown> => {
    const act = actOf(schema, actNumber(n), 3)
    return state.query(
      `with changed as (
         insert into security_state.positions as known (follower, position) values ($1, $2)
         on conflict (follower) do update set position = excluded.position
         where known.position < excluded.position
         returning follower),
       told as (${act.text})
       select follower from changed`,
      [name, size, ...act.values],
    )
  }
  expect(await set(1, 5)).toEqual([{ follower: name }])
  // Changes nothing.
  expect(await set(2, 5)).toEqual([])
  await expect(set(3, -1)).rejects.toThrow()
  // The same id again.
  await expect(set(1, 9)).rejects.toThrow()
  expect(await state.query('select position::int from security_state.positions')).toEqual([{ position: 5 }])
  expect(await readOldestActs(state.query, schema, 10)).toEqual([actNumber(1)])
})

test('a full outbox refuses, as an outage that passes', async () => {
  await admin.query(
    `insert into security_state.acts (id, action, actor, resource, occurred_at, detail, signature)
     select gen_random_uuid(), 'dendrolog.x', 'dendrolog', 'x', now(), '{}', 's' from generate_series(1, 10000)`,
  )
  const error: unknown = await insertAct(state.query, schema, actNumber(1)).catch((e: unknown) => e)
  expect(error).toMatchObject({ code: '53400' })
  expect(isOutage(error)).toBe(true)
})

test('the table refuses other actions, empty texts, and details that are no object or too long', async () => {
  const wrong: readonly Partial<SignedAct>[] = [
    { action: 'token.made' },
    { action: `dendrolog.${'x'.repeat(91)}` },
    { actorId: '' },
    { resource: 'x'.repeat(256) },
    { detail: [] as unknown as Record<string, unknown> },
    { detail: { text: 'x'.repeat(65_536) } },
    { signature: '' },
  ]
  for (const part of wrong) {
    await expect(insertAct(state.query, schema, { ...actNumber(1), ...part })).rejects.toMatchObject({ code: '23514' })
  }
})
