import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { IncidentFinding } from '../../src/incident/finding.ts'
import { servedNote, type Witnessing } from '../../src/log/cosigned.ts'
import { nodeSignatureCheck } from '../../src/ops/signing.ts'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { openNote, textVerifier } from '../../tlog/note.ts'
import { parseVkey } from '../../tlog/note-key.ts'
import { asSuperuser, copyDatabase, dropDatabase, swapDatabases } from '../support/database-copy.ts'
import {
  createTestLog,
  origin,
  type RunningLog,
  recordsOf,
  submit,
  type TestLog,
  type TestLogOptions,
  until,
  untilIncident,
} from '../support/log.ts'
import { policyOf, startWitnesses, type TestWitness, type TestWitnesses, witnessingOf } from '../support/witnesses.ts'

// A log and its witnesses, over HTTP: both real, in one process.

let home: TestLog
let witnesses: TestWitnesses
let findings: IncidentFinding[]

beforeEach(async () => {
  home = await createTestLog()
  witnesses = await startWitnesses(3, home.keys.vkey)
  findings = []
})
afterEach(async () => {
  await home.drop()
  await witnesses.close()
})

function witnessing(publishesAfterQuorum: boolean, threshold = 2): Witnessing {
  const onFinding = (finding: IncidentFinding): void => void findings.push(finding)
  return witnessingOf(home.keys, policyOf(witnesses, threshold), publishesAfterQuorum, onFinding).witnessing
}

const start = (options: TestLogOptions): Promise<RunningLog> => home.start(options)
const one = async ({ log }: RunningLog, i: number): Promise<number> =>
  (await submit(log, recordsOf(i, i + 1))).firstSequenceNumber

/** Names of those who signed what is served. */
function signersOf(note: string): readonly string[] {
  const verifiers = [
    textVerifier(parseVkey(home.keys.vkey), nodeSignatureCheck),
    ...witnesses.map(({ verifier }) => verifier),
  ]
  const { verified, unverified } = openNote(encodeUtf8(note), verifiers)
  expect(unverified).toEqual([])
  return verified.map(({ name }) => name).sort()
}

const allThree = [origin, 'w1.example', 'w2.example', 'w3.example']

describe('published at once', () => {
  test('a checkpoint is served, then with cosignatures; the quorum can be waited for', async () => {
    const running = await start({ witnessing: witnessing(false) })
    const size = await one(running, 0)
    const witnessed = await running.log.checkpoints.waitForWitnessed(size)
    expect(witnessed.treeSize).toBe(size)
    expect(signersOf(servedNote(witnessed)).length).toBeGreaterThanOrEqual(3)
    await until(
      () => signersOf(servedNote(running.log.published)).length === 4,
      () => servedNote(running.log.published),
    )
    expect(signersOf(servedNote(running.log.published))).toEqual(allThree)
    expect(await home.check()).toMatchObject({ size })
  })

  test('after a restart what is stored is served, checked: a line that does not hold is left out', async () => {
    const running = await start({ witnessing: witnessing(false) })
    await running.log.waitForCheckpoint(await one(running, 0))
    await until(
      () => signersOf(servedNote(running.log.published)).length === 4,
      () => servedNote(running.log.published),
    )
    const { number } = running.log.published
    await running.stop()
    await Promise.all(witnesses.map((each) => each.leave()))
    await asSuperuser(home.database, async (client) => {
      for (const guard of ['start', 'end', 'drop']) {
        await client.query(`alter event trigger security_guard_${guard} disable`)
      }
      await client.query('alter table security.cosignatures disable trigger all')
      await client.query(`update security.cosignatures set line = left(line, -4) || 'AAA=' where witness like 'w2%'`)
    })
    const again = await home.begin({ witnessing: witnessing(false), resignIntervalMs: 1_000_000 })
    expect(again.log.published.number).toBe(number)
    expect(signersOf(servedNote(again.log.published))).toEqual([origin, 'w1.example', 'w3.example'])
  })

  test('witnesses that are away keep nothing from being logged and published', async () => {
    const running = await start({ witnessing: witnessing(false) })
    await Promise.all(witnesses.map((each) => each.leave()))
    const size = await one(running, 0)
    await running.log.waitForCheckpoint(size)
    expect(running.log.published.cosignatures).toBe('')
    await Promise.all(witnesses.slice(0, 2).map((each) => each.comeBack()))
    const witnessed = await running.log.checkpoints.waitForWitnessed(size)
    expect(signersOf(servedNote(witnessed))).toEqual([origin, 'w1.example', 'w2.example'])
    expect(findings).toEqual([])
  })
})

describe('published after the quorum', () => {
  test('nothing is published that the quorum has not cosigned, and logging goes on', async () => {
    const running = await start({ witnessing: witnessing(true) })
    const first = await one(running, 0)
    const published = await running.log.waitForCheckpoint(first)
    expect(signersOf(servedNote(published)).length).toBeGreaterThanOrEqual(3)
    await Promise.all(witnesses.slice(1).map((each) => each.leave()))
    const second = await one(running, 1)
    const { number } = running.log.published
    await until(
      () => running.log.health.integratedSize === second,
      () => 'not durable',
    )
    // Many intervals: it is signed, and stays unpublished.
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(running.log.published.number).toBe(number)
    expect(running.log.health).toMatchObject({ isReady: true, integratedSize: second, publishedSize: first })
    await (witnesses[1] as TestWitness).comeBack()
    const later = await running.log.waitForCheckpoint(second)
    expect(signersOf(servedNote(later))).toEqual([origin, 'w1.example', 'w2.example'])
  })

  test('a log that starts again publishes the last that was witnessed, not the last that was signed', async () => {
    const running = await start({ witnessing: witnessing(true) })
    const first = await one(running, 0)
    const { number } = await running.log.waitForCheckpoint(first)
    await Promise.all(witnesses.map((each) => each.leave()))
    const second = await one(running, 1)
    await until(
      async () => ((await home.cell.read())?.treeSize ?? 0) === second,
      () => 'not signed',
    )
    await running.stop()
    const again = await start({ witnessing: witnessing(true) })
    expect(again.log.published.treeSize).toBe(first)
    expect(again.log.published.number).toBeGreaterThanOrEqual(number)
    expect(signersOf(servedNote(again.log.published)).length).toBeGreaterThanOrEqual(3)
    await Promise.all(witnesses.map((each) => each.comeBack()))
    expect((await again.log.waitForCheckpoint(second)).treeSize).toBe(second)
  })

  test('what is being waited for when the log stops is published before it ends', async () => {
    const running = await start({ witnessing: witnessing(true), checkpointIntervalMs: 1_000 })
    const size = await one(running, 0)
    const waiting = running.log.waitForCheckpoint(size)
    await running.stop()
    expect(signersOf(servedNote(await waiting)).length).toBeGreaterThanOrEqual(3)
  })
})

describe('a witness that knows another history', () => {
  /** Sets database and cell back to where they were before `work`. */
  async function forget(work: () => Promise<void>): Promise<void> {
    const cell = join(home.folder, 'signer-state.json')
    const [kept, copy] = [await readFile(cell), await copyDatabase(home.database)]
    await work()
    await swapDatabases(home.database, copy)
    await dropDatabase(copy)
    await writeFile(cell, kept)
  }

  test('is told with what it shows, and a log that starts so takes nothing', async () => {
    const running = await start({ witnessing: witnessing(false) })
    const size = await one(running, 0)
    await running.log.checkpoints.waitForWitnessed(size)
    await running.stop()
    await forget(async () => {
      const later = await start({ witnessing: witnessing(false) })
      await later.log.checkpoints.waitForWitnessed(await one(later, 1))
      await later.stop()
    })
    const rolledBack = await home.begin({ witnessing: witnessing(false) })
    await untilIncident(rolledBack, 'ROLLBACK')
    expect(String(rolledBack.incidents[0])).toMatch(/witness w\d shows a checkpoint of 2 entries that this log signed/)
  })

  test('one that comes back later with more is a finding with its evidence, and stops nothing', async () => {
    const running = await start({ witnessing: witnessing(false) })
    await running.log.checkpoints.waitForWitnessed(await one(running, 0))
    await running.stop()
    await forget(async () => {
      const later = await start({ witnessing: witnessing(false) })
      await later.log.checkpoints.waitForWitnessed(await one(later, 1))
      await later.stop()
    })
    await Promise.all(witnesses.map((each) => each.leave()))
    const rolledBack = await start({ witnessing: witnessing(false) })
    await (witnesses[0] as TestWitness).comeBack()
    await until(
      () => findings.length > 0,
      () => 'no finding',
    )
    expect(findings[0]).toMatchObject({ violationType: 'ROLLBACK', place: 'witness w1' })
    expect(findings[0]?.evidence).toMatchObject({ shown: expect.stringContaining(`${origin}\n2\n`) })
    expect(rolledBack.log.health.isReady).toBe(true)
  })

  test('one that has lost what it cosigned begins anew, and is no finding', async () => {
    const running = await start({ witnessing: witnessing(false, 3) })
    await running.log.checkpoints.waitForWitnessed(await one(running, 0))
    const lost = witnesses[0] as TestWitness
    await lost.leave()
    await rm(join(lost.dataDir, 'cosigned'))
    await lost.comeBack()
    await running.log.checkpoints.waitForWitnessed(await one(running, 1))
    expect(findings).toEqual([])
  })
})
