import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { openPolicy } from '../../src/cli/check/cosigned.ts'
import { judgeBytes } from '../../src/cli/check/judge.ts'
import type { Known } from '../../src/cli/check/result.ts'
import { decodeBundle, encodeBundle } from '../../tlog/bundle.ts'
import { parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { run } from './binary.ts'

// Evidence as test/e2e/evidence.slow.test.ts had it from a running log: format 1 is checked like this for good.

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

test('check says what is proven, by whom, and nothing else', async () => {
  const given = ['--roots', join(folder, 'roots.pem'), '--policy', join(folder, 'policy')]
  const { status, stdout } = await run(['check', file, '--vkey', names.vkey, ...given, '--anchor-log', names.anchorLog])
  expect(status).toBe(0)
  expect(stdout).toMatchInlineSnapshot(`
    "holds: an entry stands in the tree of size 1 that "log.example" signed
      entry 1 "read" on "doc/1" by "alice", logged 2026-11-23T22:59:23.307000Z; its payload is 18 characters
      the log says that it signed this tree at 2026-11-23T22:59:23.401000Z
      existed before 2026-11-23T22:59:24.579000Z, says time-stamp authority "CN=Test TSA" of the tree of size 1; stamped again 2026-11-23T22:59:39.942000Z by "CN=Test TSA"
      existed before 2026-11-23T22:59:36.470000Z, says time-stamp authority "CN=Test TSA" of the tree of size 2
      the tree of size 1 stands in the log "outside.example" at index 0
      the tree of size 2 stands in the log "outside.example" at index 1
      cosigned by w3 at 2026-11-23T22:59:23.000000Z as the only history, in the tree of size 1
      cosigned by w2 at 2026-11-23T22:59:23.000000Z as the only history, in the tree of size 1
      cosigned by w1 at 2026-11-23T22:59:23.000000Z as the only history, in the tree of size 1
      cosigned by w2 at 2026-11-23T22:59:35.000000Z as the only history, in the tree of size 2
      cosigned by w3 at 2026-11-23T22:59:35.000000Z as the only history, in the tree of size 2
      cosigned by w1 at 2026-11-23T22:59:35.000000Z as the only history, in the tree of size 2
    "
  `)
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
