// Clients, a whole-log checker and load generators of others against the real server. Run by `.ci/run`, or:
//   npm run build && npx vitest run --config test/interop/vitest.config.ts
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endAll, type ServerProcess, startServer, waitUntilReady } from '../support/server-process.ts'
import { buildPrograms, type Finished, type Held, runCheck, runProgram } from './programs.ts'

type Identity = { readonly origin: string; readonly vkey: string; readonly sthPublicKey: string }

/** More than 256 full tiles, so that there is one of level 2. */
const entries = 66_000
const batchRecords = 5_500
const publishMs = 30_000

let folder: string
let server: ServerProcess
let identity: Identity

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dendrolog-interop-'))
  await buildPrograms(folder)
  await start({ DENDROLOG_PUBLIC_ENTRIES: 'true' })
})

afterAll(async () => {
  await endAll(join(folder, 'data'))
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
})

async function start(environment: Readonly<Record<string, string>>): Promise<void> {
  server = await startServer(join(folder, 'data'), environment)
  await waitUntilReady(server)
  identity = (await (await fetch(`${server.url}/v1/log`)).json()) as Identity
}

function ctcheck(check: string, env: Readonly<Record<string, string>> = {}): Promise<Held> {
  const args = ['-url', server.url, '-key', identity.sthPublicKey, '-check', check]
  return runCheck(join(folder, 'ctcheck'), args, env)
}

function tilecheck(check: string, env: Readonly<Record<string, string>> = {}): Promise<Held> {
  return runCheck(join(folder, 'tilecheck'), ['-url', server.url, '-vkey', identity.vkey, '-check', check], env)
}

/** Logs `count` events and waits until they are under a checkpoint. */
async function load(count: number): Promise<void> {
  for (let sent = 0; sent < count; ) {
    const size = Math.min(batchRecords, count - sent)
    const body = Array.from({ length: size }, (_, i) => eventLine(sent + i)).join('\n')
    const headers = { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' }
    const response = await fetch(`${server.url}/v1/entries?wait=published`, { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ accepted: size })
    sent += size
  }
}

function eventLine(n: number): string {
  return JSON.stringify({
    actorId: `actor ${n % 7}`,
    action: 'document.read',
    resource: `document/${n}`,
    payload: { n },
  })
}

/** Until a checkpoint has grown to `size`: load generators end before what they wrote last is published. */
async function waitForSize(size: number): Promise<void> {
  const deadline = performance.now() + publishMs
  for (;;) {
    const { treeSize } = (await (await fetch(`${server.url}/v1/log`)).json()) as { treeSize: number }
    if (treeSize >= size) return
    if (performance.now() > deadline) throw new Error(`tree size ${treeSize} after ${publishMs} ms, want ${size}`)
    await sleep(50)
  }
}

describe('a new log', () => {
  test('the head of the empty tree holds for the client of certificate-transparency-go', async () => {
    expect(await ctcheck('head')).toEqual({ size: 0, checked: 1 })
  })

  test('fsck of Tessera finds the empty log in order', async () => {
    expect(await tilecheck('fsck')).toMatchObject({ size: 0, notFound: 0 })
  })

  test('a log of one entry is in order for both', async () => {
    await load(1)
    expect(await ctcheck('entries')).toEqual({ size: 1, checked: 3 })
    expect(await tilecheck('fsck')).toMatchObject({ size: 1, notFound: 0 })
    expect(await tilecheck('proofs')).toMatchObject({ size: 1, notFound: 0 })
  })
})

describe.each([300, entries])('a log of %i entries', (size) => {
  beforeAll(async () => {
    const { treeSize } = (await (await fetch(`${server.url}/v1/log`)).json()) as { treeSize: number }
    await load(size - treeSize)
  })

  describe('certificate-transparency-go', () => {
    test('verifies the signed tree head', async () => {
      expect(await ctcheck('head')).toEqual({ size, checked: 1 })
    })

    test('reads the whole log, and the root of its leaves is the signed one', async () => {
      expect(await ctcheck('entries')).toEqual({ size, checked: size < 1_000 ? 3 * size : size })
    })

    test.each(['consistency', 'entry-and-proof'])('verifies each %s', async (check) => {
      const { checked } = await ctcheck(check)
      expect(checked).toBeGreaterThan(200)
    })

    test('verifies proofs that it asked for by leaf hash', async () => {
      await untilSearched(size)
      const { checked } = await ctcheck('proof-by-hash')
      expect(checked).toBeGreaterThan(200)
    })

    test('is refused what there is not', async () => {
      expect(await ctcheck('refusals')).toEqual({ size, checked: 7 })
    })
  })

  describe('clients of C2SP tiles', () => {
    test('fsck of Tessera derives every tile and the root from the entry bundles, and all are as served', async () => {
      const { checked, ...rest } = await tilecheck('fsck')
      expect(rest).toEqual({ size, notFound: 0 })
      // A bundle and a tile for every 256 entries, and the checkpoint, at least.
      expect(checked).toBeGreaterThanOrEqual(2 * Math.ceil(size / 256) + 1)
    })

    test('fsck of Tessera notices one bit of a tile', async () => {
      expect(await tilecheck('fsck-of-damage')).toMatchObject({ checked: 1 })
    })

    test('proofs that Tessera builds from tiles hold, in older trees too, whose partial tiles are still there', async () => {
      expect(await tilecheck('proofs')).toMatchObject({ size, notFound: 0 })
    })

    test('the tile client of golang.org/x/mod/sumdb/tlog checks every tile and proves older trees', async () => {
      expect(await tilecheck('sumdb')).toMatchObject({ size, notFound: 0 })
    })
  })
})

describe('under load', () => {
  /** At 300 writes a second some 15 seconds; the limit is for machines that are busy with other things. */
  const writes = 4_500
  const hammerLimitS = 60

  /**
   * Tessera's hammer. Every second writes to /add and reads bundles, and follows the checkpoint, each proved to extend the
   * one before; a fork ends it. Our leaf is not the bytes that were sent, but this version compares no leaves. Its
   * duplicates (`dup_chance`) are entries of their own here, as in a log without deduplication. It ends with status 0
   * once the tree has grown by the goal, and with 1 after `max_runtime`. It takes the token as an argument only; that of a
   * log on loopback which is gone in a minute.
   */
  function hammer(): Promise<Finished> {
    const args = [
      ...['-log_url', server.url, '-log_public_key', identity.vkey, '-show_ui=false'],
      ...['-num_writers', '32', '-max_write_ops', '300', '-leaf_min_size', '1024', '-leaf_write_goal', String(writes)],
      ...['-num_readers_random', '4', '-num_readers_full', '4', '-max_read_ops', '100'],
      ...['-max_runtime', `${hammerLimitS}s`, '-bearer_token_write', server.tokens.writer],
    ]
    return runProgram(join(folder, 'hammer'), args, { limitMs: 1_000 * (hammerLimitS + 10) })
  }

  /**
   * The load generator of certificate-transparency-go, reading only: without test data it adds no chains. get-entries is
   * left out, since it wants certificates in the leaves, and so are the valid requests of get-proof-by-hash, since it asks
   * only for what it has added; the invalid ones of both RFC 6962 proofs are there. Any answer that is not right ends it.
   */
  async function ctHammer(): Promise<Finished> {
    const config = join(folder, 'log.textproto')
    const der = [...Buffer.from(identity.sthPublicKey, 'base64')].map(
      (byte) => `\\${byte.toString(8).padStart(3, '0')}`,
    )
    await writeFile(config, `config { log_id: 1 prefix: "" public_key { der: "${der.join('')}" } }`)
    const args = [
      ...['-ct_http_servers', server.url, '-log_config', config, '-testdata_dir=', '-banner=false', '-v=0'],
      ...['-logtostderr', '-operations', '3000', '-rate_limit', '250', '-invalid_chance', '5'],
      ...[
        '-get_sth',
        '6',
        '-get_sth_consistency',
        '8',
        '-get_proof_by_hash',
        '2',
        '-get_roots',
        '1',
        '-get_entries',
        '0',
      ],
    ]
    return runProgram(join(folder, 'ct_hammer'), args, { limitMs: 60_000 })
  }

  test('Tessera’s hammer writes and reads, and ct_hammer reads, without one answer that they do not expect', async () => {
    const { size } = await tilecheck('fsck')
    const [tessera, ct] = await Promise.all([hammer(), ctHammer()])
    expect({ status: tessera.status, complaints: complaintsOf(tessera) }).toEqual({ status: 0, complaints: [] })
    expect({ status: ct.status, complaints: complaintsOf(ct) }).toEqual({ status: 0, complaints: [] })
    expect(ct.stderr).toMatch(/completed 3000 operations/)
    await waitForSize(size + writes)
  })

  /** Each sees a head of its own: writes that were under way when the generator ended come after its end. */
  test('what they left is in order for both whole-log checkers', async () => {
    const least = entries + writes
    const entriesHeld = await ctcheck('entries')
    expect(entriesHeld.size).toBeGreaterThanOrEqual(least)
    expect(entriesHeld.checked).toBe(entriesHeld.size)
    for (const check of ['fsck', 'sumdb']) {
      const { size, notFound } = await tilecheck(check)
      expect(size).toBeGreaterThanOrEqual(least)
      expect(notFound).toBe(0)
    }
  })

  /**
   * Lines of klog that are warnings or worse. A 503 that says when to come again is none, since the log may be full; nor
   * is a request that the generator itself gave up at its end.
   */
  function complaintsOf({ stderr }: Finished): string[] {
    const expected = /requests received pushback from log|add-\[pre-\]chain operations disabled|: context canceled$/
    const lines = stderr.split('\n').filter((line) => /^[WEF]\d{4} /.test(line))
    return lines.filter((line) => !expected.test(line))
  }
})

describe('a log whose entries are the auditors’', () => {
  beforeAll(async () => {
    expect(await server.stop()).toBe(0)
    // What auditors read would become entries while they read.
    await start({ DENDROLOG_ACT_SUM_INTERVAL_MS: '0' })
  })

  test('clients with an auditor’s token read all of it', async () => {
    const env = { LOG_AUTHORIZATION: `Bearer ${server.tokens.auditor}` }
    const { size } = await ctcheck('entries', env)
    expect(size).toBeGreaterThan(entries)
    const whole = await tilecheck('fsck', env)
    expect(whole).toMatchObject({ notFound: 0 })
    // The log tells meanwhile that its settings are others: an entry of its own.
    expect(whole.size).toBeGreaterThanOrEqual(size)
  })

  test('clients without one get heads, tiles and proofs, and no entry', async () => {
    expect(await ctcheck('head')).toMatchObject({ checked: 1 })
    expect((await tilecheck('sumdb')).checked).toBeGreaterThan(entries / 256)
    await expect(ctcheck('entries')).rejects.toThrow('status 401')
    await expect(tilecheck('fsck')).rejects.toThrow('401')
  })
})

/** Leaves are known by their hash when the follower has come to them. */
async function untilSearched(size: number): Promise<void> {
  for (let searched = -1; searched < size; ) {
    const answer = await fetch(`${server.url}/v1/entries?limit=1`)
    searched = ((await answer.json()) as { searchedSize: number }).searchedSize
    if (searched < size) await sleep(50)
  }
}
