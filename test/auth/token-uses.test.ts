import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTokenSecret, TokenAuthenticator } from '../../src/auth/token.ts'
import { TokenUses } from '../../src/auth/token-uses.ts'
import { openPool, type Pool, type Query } from '../../src/store/session.ts'
import { insertFirstToken } from '../../src/store/tokens.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { schema } from '../support/log.ts'

const hash = (secret: string): Uint8Array => createHmac('sha256', 'key').update(secret).digest()

let database: TestDatabase
let state: Pool
beforeAll(async () => {
  database = await makeDatabase()
  state = openPool(database.as('app_state_role'), 2, 10_000)
})
afterAll(async () => {
  await state.close()
  await database.drop()
})

let names = 0

/** A token, who looks it up, and who writes down its uses. */
async function open(query: Query = state.query): Promise<{
  readonly secret: string
  readonly tokens: TokenAuthenticator
  readonly uses: TokenUses
  readonly failures: unknown[]
  readonly set: (assignment: string) => Promise<void>
  readonly lastUsed: () => Promise<string | null>
}> {
  const [secret, name, failures]: [string, string, unknown[]] = [createTokenSecret(), `t${names++}`, []]
  await insertFirstToken(state.query, schema, hash(secret), { name, role: 'writer' })
  const uses = new TokenUses(query, schema, (error) => failures.push(error))
  const tokens = new TokenAuthenticator(state.query, schema, hash, { onUsed: (id, at) => uses.note(id, at) })
  const set = async (assignment: string): Promise<void> => {
    await state.query(`update security_state.tokens set ${assignment} where name = $1`, [name])
  }
  const lastUsed = async (): Promise<string | null> => {
    const [row] = await state.query('select last_used_at::text as at from security_state.tokens where name = $1', [
      name,
    ])
    return row?.at as string | null
  }
  return { secret, tokens, uses, failures, set, lastUsed }
}

/** As a server does when what it kept is over. */
async function lookUpAnew(secret: string, uses: TokenUses): Promise<void> {
  const options = { onUsed: (id: string, at: number) => uses.note(id, at) }
  await new TokenAuthenticator(state.query, schema, hash, options).authenticate(secret)
}

test('a use is written down in the background, once a minute', async () => {
  const { secret, tokens, uses, set, lastUsed } = await open()
  await tokens.authenticate(secret)
  expect(await lastUsed()).toBeNull()
  await uses.write()
  const first = await lastUsed()
  expect(first).not.toBeNull()
  await lookUpAnew(secret, uses)
  await uses.write()
  expect(await lastUsed()).toBe(first)
  await set(`last_used_at = last_used_at - interval '61 seconds'`)
  const before = await lastUsed()
  await lookUpAnew(secret, uses)
  await uses.write()
  expect(Date.parse(String(await lastUsed()))).toBeGreaterThan(Date.parse(String(before)) + 60_000)
})

test('a use that somebody else wrote within the minute stands', async () => {
  const { secret, tokens, uses, set, lastUsed } = await open()
  await tokens.authenticate(secret)
  await set(`last_used_at = clock_timestamp() - interval '30 seconds'`)
  const before = await lastUsed()
  await uses.write()
  expect(await lastUsed()).toBe(before)
})

test('a database that fails keeps nobody, and the use is written when it is back', async () => {
  let isFailing = true
  const { secret, tokens, uses, failures, lastUsed } = await open(async (text, values) => {
    if (isFailing) throw new Error('away')
    return state.query(text, values)
  })
  expect(await tokens.authenticate(secret)).toMatchObject({ role: 'writer' })
  await expect(uses.write()).rejects.toThrow('away')
  const stop = new AbortController()
  isFailing = false
  const running = uses.run(stop.signal)
  stop.abort()
  await running
  expect(failures).toEqual([])
  expect(await lastUsed()).not.toBeNull()
})

test('an answer that is kept ends with its token, to the second', async () => {
  const { secret, tokens, set } = await open()
  await set(`expires_at = clock_timestamp() + interval '1500 milliseconds'`)
  expect(await tokens.authenticate(secret)).toMatchObject({ role: 'writer' })
  expect(tokens.authenticate(secret)).not.toBeInstanceOf(Promise)
  await sleep(1_600)
  expect(await tokens.authenticate(secret)).toBeUndefined()
})

test('a token that was revoked elsewhere stops when what is kept is 4 s old', async () => {
  const { secret, tokens, set } = await open()
  await tokens.authenticate(secret)
  await set('revoked_at = clock_timestamp()')
  expect(tokens.authenticate(secret)).toMatchObject({ role: 'writer' })
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 4_001)
  try {
    expect(await tokens.authenticate(secret)).toBeUndefined()
  } finally {
    vi.restoreAllMocks()
  }
})

test('a first start that was cut short leaves no second token of a name', async () => {
  const [lost, kept] = [createTokenSecret(), createTokenSecret()]
  for (const secret of [lost, kept]) {
    await insertFirstToken(state.query, schema, hash(secret), { name: 'first', role: 'admin' })
  }
  const tokens = new TokenAuthenticator(state.query, schema, hash)
  expect(await tokens.authenticate(lost)).toBeUndefined()
  expect(await tokens.authenticate(kept)).toMatchObject({ identity: 'token:first' })
})
