import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { endAll, processesIn, startServer, waitUntilReady } from '../support/server-process.ts'

/** Runs a program as the first process of a container does: nobody collects the children that others leave behind. */
const asFirstProcess = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']

function mayUnshare(): boolean {
  try {
    execFileSync('unshare', [...asFirstProcess.slice(1), 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test.skipIf(!mayUnshare())(
  'as the first process of a container the server starts a killed PostgreSQL again',
  async () => {
    const dataDir = join(await mkdtemp(join(tmpdir(), 'dendrolog-first-')), 'data')
    try {
      const server = await startServer(dataDir, {}, asFirstProcess)
      await waitUntilReady(server)
      const before = await processesIn(join(dataDir, 'pg'))
      for (const pid of before) process.kill(pid, 'SIGKILL')
      await sleep(1_500)
      await waitUntilReady(server)
      expect(before.length).toBeGreaterThan(4)
      expect((await processesIn(join(dataDir, 'pg'))).filter((pid) => before.includes(pid))).toEqual([])
      await server.kill()
    } finally {
      await endAll(join(dataDir, 'none'))
      await rm(join(dataDir, '..'), { recursive: true, force: true })
    }
  },
)
