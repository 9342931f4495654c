import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { emptyState, type KnownFinding, type VerifierState } from '../../src/audit/verifier-state.ts'
import { openMemory, readState } from '../../src/cli/verify/state.ts'
import { readConfig } from '../../src/config.ts'
import { makeFolder, removeFolder } from './binary.ts'

test('what a verifier found in ten thousand rows, of a log of a milliard, is remembered and read again', async () => {
  const folder = await makeFolder()
  try {
    const config = { ...readConfig(), dataDir: folder }
    const log = { origin: 'test.example/log', sealKey: randomBytes(32) }
    const findings = Array.from(
      { length: 10_000 },
      (_, i): KnownFinding => ({
        ...{ key: `PAYLOAD_CORRUPT entry ${i}`, violationType: 'PAYLOAD_CORRUPT', sequenceNumber: i + 1 },
        ...{ detail: 'x'.repeat(600), firstSeenMs: 1 },
      }),
    )
    const rangeRoots = Array.from({ length: 16_000 }, () => randomBytes(32).toString('hex'))
    const state: VerifierState = { ...emptyState, findings, rangeRoots }
    const memory = openMemory(config, log)
    await memory.write(state)
    expect(await readState(config, log)).toEqual(state)
    expect(await openMemory(config, log).readOthers()).toEqual(state)
    await expect(readState(config, { ...log, sealKey: randomBytes(32) })).rejects.toThrow(
      join(folder, 'verifier-state'),
    )
  } finally {
    await removeFolder(folder)
  }
})
