/** What `npm run build` made, as those get it who install it. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { openTestApi } from '../support/api.ts'

const root = join(import.meta.dirname, '..', '..')

/** All files that `file` leads to, and all packages. */
function reach(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  const imports = /^(?:import|export)\s[^'"]*?from '([^']+)'|^import '([^']+)'/gm
  for (const [, from, bare] of readFileSync(file, 'utf8').matchAll(imports)) {
    const name = from ?? bare ?? ''
    if (name.startsWith('.')) reach(join(dirname(file), name), seen)
    else seen.add(name)
  }
  return seen
}

test('the client leads to tlog, to @noble/hashes and to nothing else', () => {
  const reached = [...reach(join(root, 'dist', 'src', 'client', 'index.js'))]
  const others = reached.filter((name) => !/\/dist\/(src\/client|tlog)\/[^/]+\.js$/.test(name))
  expect(others).toEqual(['@noble/hashes/sha2.js'])
  expect(reached.some((name) => name.endsWith('/tlog/receipt.js'))).toBe(true)
})

test('rules lead to tlog, to @noble/hashes and to nothing else', () => {
  const reached = [...reach(join(root, 'dist', 'src', 'rules', 'index.js'))]
  const others = reached.filter((name) => !/\/dist\/(src\/rules|tlog)\/[^/]+\.js$/.test(name))
  expect(others).toEqual(['@noble/hashes/sha2.js'])
})

test('the client is imported by its name and submits', async () => {
  const api = await openTestApi()
  try {
    const url = `http://127.0.0.1:${(await api.listen()).port}`
    const program = `
      import { openLogClient, submit } from 'dendrolog/client'
      const [url, vkey, token] = JSON.parse(process.env.SETTINGS)
      const event = { actorId: 'a', action: 'b', resource: 'c', payload: {} }
      const { proved } = await submit(openLogClient({ url, vkey, token }), event)
      console.log(proved.fields.sequenceNumber)`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      cwd: root,
      env: { ...process.env, SETTINGS: JSON.stringify([url, api.test.keys.vkey, api.tokens.writer]) },
    })
    expect(stdout.trim()).toBe('1')
  } finally {
    await api.close()
  }
})
