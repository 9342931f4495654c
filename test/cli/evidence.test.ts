import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from './binary.ts'

// Evidence as test/e2e/evidence.slow.test.ts had it from a running log: format 1 is checked like this for good.

const folder = join(import.meta.dirname, '../vectors/evidence')
const file = join(folder, 'one.evidence')
const names = JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')) as Record<'vkey' | 'anchorLog', string>

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
