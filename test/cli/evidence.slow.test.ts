import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { openPolicy } from '../../src/cli/check/cosigned.ts'
import { judgeBytes } from '../../src/cli/check/judge.ts'
import type { Known } from '../../src/cli/check/result.ts'
import { decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { parseVkey, type VerifierKey } from '../../tlog/note-key.ts'

// Every byte of the vector, one after the other. Evidence as test/e2e/evidence.slow.test.ts had it from a running log: format 1 is checked like this for good.

const folder = join(import.meta.dirname, '../vectors/evidence')
const file = join(folder, 'one.evidence')
let bytes: Uint8Array
let key: VerifierKey
let known: Known
let names: { readonly vkey: string; readonly anchorLog: string }

beforeAll(async () => {
  bytes = await readFile(file)
  names = JSON.parse(await readFile(join(folder, 'keys.json'), 'utf8')) as typeof names
  key = parseVkey(names.vkey)
  known = {
    witnesses: openPolicy(await readFile(join(folder, 'policy')), key),
    roots: [new X509Certificate(await readFile(join(folder, 'roots.pem')))],
    logs: [parseVkey(names.anchorLog)],
  }
})

test('no byte of it may be another', () => {
  expect(judgeBytes(bytes, key, known).kind).toBe('holds')
  for (let i = 0; i < bytes.length; i++) {
    const flipped = Uint8Array.from(bytes)
    flipped[i] = (flipped[i] as number) ^ 1
    if (judgeBytes(flipped, key, known).kind === 'holds') throw new Error(`byte ${i}`)
  }
})

// Beside what is signed a token has bytes that say nothing; those are left out here.
test('with the hash written anew, what was signed and proven is still not to be altered', () => {
  const bundle = decodeBundle(bytes)
  const said = JSON.stringify(judgeBytes(bytes, key, known))
  let [altered, taken] = [0, 0]
  const judge = (other: typeof bundle): void => {
    altered++
    const judged = judgeBytes(encodeBundle(other), key, known)
    if (judged.kind === 'holds' && JSON.stringify(judged) === said) taken++
  }
  const flip = (of: Uint8Array, i: number): Uint8Array => of.map((byte, at) => (at === i ? byte ^ 1 : byte))
  bundle.heads.forEach((head, h) => {
    const withHead = (other: Partial<typeof head>): void =>
      judge({ ...bundle, heads: bundle.heads.map((each, i) => (i === h ? { ...each, ...other } : each)) })
    head.logs.forEach((log, l) => {
      const leaf = log.leaf ?? new Uint8Array(0)
      for (let i = 0; i < leaf.length; i += 3) {
        withHead({ logs: head.logs.map((each, at) => (at === l ? { ...each, leaf: flip(leaf, i) } : each)) })
      }
    })
    for (let i = 0; i < head.sth.signature.length; i++) {
      withHead({ sth: { ...head.sth, signature: flip(head.sth.signature, i) } })
    }
    for (let i = 0; i < head.note.length; i++) {
      const note = `${head.note.slice(0, i)}${head.note[i] === 'A' ? 'B' : 'A'}${head.note.slice(i + 1)}`
      withHead({ note })
    }
  })
  expect(altered).toBeGreaterThan(300)
  expect(taken).toBe(0)
})
