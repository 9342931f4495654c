import { createHmac } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { createTokenSecret, TokenAuthenticator } from '../../src/auth/token.ts'
import type { Row } from '../../src/store/row.ts'
import { openPool } from '../../src/store/session.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import { schema } from '../support/log.ts'

const key = new Uint8Array(32).fill(7)
const hash = (secret: string): Uint8Array => createHmac('sha256', key).update(secret).digest()

type Context = {
  readonly tokens: TokenAuthenticator
  readonly add: (secret: string, name: string, role: string) => Promise<void>
  /** Look-ups so far. */
  readonly asked: () => number
  readonly fail: (isFailing: boolean) => void
  readonly database: TestDatabase
}

async function withTokens(run: (context: Context) => Promise<void>): Promise<void> {
  const database = await makeDatabase()
  const state = openPool(database.as('app_state_role'), 2, 10_000)
  let asked = 0
  let isFailing = false
  const query = async (text: string, values?: readonly unknown[]): Promise<readonly Row[]> => {
    asked++
    if (isFailing) throw new Error('away')
    return state.query(text, values)
  }
  const add = async (secret: string, name: string, role: string): Promise<void> => {
    await state.query('insert into security_state.tokens (token_hash, name, role) values ($1, $2, $3)', [
      hash(secret),
      name,
      role,
    ])
  }
  const fail = (failing: boolean): void => {
    isFailing = failing
  }
  try {
    await run({ tokens: new TokenAuthenticator(query, schema, hash), add, asked: () => asked, fail, database })
  } finally {
    await state.close()
    await database.drop()
  }
}

test('a token names its principal, and an unknown one nobody', () =>
  withTokens(async ({ tokens, add }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    expect(await tokens.authenticate(secret)).toEqual({ role: 'writer', identity: 'token:collector' })
    expect(await tokens.authenticate(`${secret}x`)).toBeUndefined()
    expect(await tokens.authenticate('')).toBeUndefined()
  }))

test('a thousand requests at once ask the database once', () =>
  withTokens(async ({ tokens, add, asked }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    const found = await Promise.all(Array.from({ length: 1_000 }, () => tokens.authenticate(secret)))
    expect(new Set(found.map((principal) => principal?.role))).toEqual(new Set(['writer']))
    expect(asked()).toBe(1)
  }))

test('a look-up that fails rejects, and is not remembered', () =>
  withTokens(async ({ tokens, add, fail }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'auditor')
    fail(true)
    await expect(tokens.authenticate(secret)).rejects.toThrow('away')
    fail(false)
    expect((await tokens.authenticate(secret))?.role).toBe('auditor')
  }))

test('of a flood of made-up tokens few reach the database at once, and the others are told to come again', () =>
  withTokens(async ({ tokens, add, asked }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    await tokens.authenticate(secret)
    const flood = Array.from({ length: 12_000 }, () => tokens.authenticate(createTokenSecret()))
    const outcomes = await Promise.allSettled(flood)
    expect(asked()).toBe(1 + 32)
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(32)
    const refused = outcomes.find((outcome) => outcome.status === 'rejected')
    expect(refused?.reason).toMatchObject({ name: 'Unavailable', retryAfterSeconds: 1 })
    expect(await tokens.authenticate(createTokenSecret())).toBeUndefined()
  }))

test('made-up tokens push no good one out, and a good one is looked up again in the middle of them', () =>
  withTokens(async ({ tokens, add, asked }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    await tokens.authenticate(secret)
    for (let i = 0; i < 10_100; i += 25) {
      await Promise.all(Array.from({ length: 25 }, () => tokens.authenticate(createTokenSecret())))
    }
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 6_000)
    try {
      const before = asked()
      const flood = Promise.allSettled(Array.from({ length: 100 }, () => tokens.authenticate(createTokenSecret())))
      expect(await tokens.authenticate(secret)).toMatchObject({ identity: 'token:collector' })
      await flood
      expect(asked()).toBe(before + 32 + 1)
    } finally {
      vi.restoreAllMocks()
    }
  }))

test('a known token is answered at once, without a promise', () =>
  withTokens(async ({ tokens, add }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    expect(tokens.authenticate(secret)).toBeInstanceOf(Promise)
    await tokens.authenticate(secret)
    expect(tokens.authenticate(secret)).toEqual({ role: 'writer', identity: 'token:collector' })
  }))

test('what is too long to be a token is not looked up', () =>
  withTokens(async ({ tokens, asked }) => {
    expect(await tokens.authenticate('x'.repeat(257))).toBeUndefined()
    expect(asked()).toBe(0)
  }))

test('no secret is in the database', () =>
  withTokens(async ({ add, database }) => {
    const secret = createTokenSecret()
    await add(secret, 'collector', 'writer')
    const admin = openPool(database.admin, 1, 10_000)
    const rows = await admin.query('select * from security_state.tokens')
    await admin.close()
    expect(JSON.stringify(rows)).not.toContain(secret.slice(10))
  }))

test('secrets are 256 random bits with a prefix that scanners find', () => {
  const secrets = Array.from({ length: 100 }, createTokenSecret)
  expect(new Set(secrets).size).toBe(100)
  for (const secret of secrets) expect(secret).toMatch(/^dendrolog_[A-Za-z0-9_-]{43}$/)
})
