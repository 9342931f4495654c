import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestApi, type TestApi } from '../support/api.ts'

type Case = { readonly text: string; readonly ok: boolean; readonly pointer?: string; readonly note: string }

const file = new URL('../vectors/entries/strict-json.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: readonly Case[] }

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

test('there are vectors', () => expect(cases.length).toBeGreaterThan(30))

test.each(cases.map((vector, i) => [i, vector.note, vector] as const))(
  'strict JSON vector %i (%s) is answered as it says',
  async (_, __, { text, ok, pointer }) => {
    const { status, json } = await api.post(text)
    expect(status).toBe(ok ? 201 : 400)
    if (!ok && pointer !== undefined) expect(json.pointer).toBe(pointer)
  },
)
