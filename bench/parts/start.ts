// From the start of the process to 200 from /readyz: on an empty folder, and again on the same one.
import { join } from 'node:path'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { removeFolder } from '../run-folder.ts'
import { startServer } from '../server-process.ts'

export async function measureStart({ plan, folder, progress }: PartContext): Promise<Findings> {
  const list = new FindingsList()
  for (let run = 1; run <= plan.runs; run++) {
    progress(`start: run ${run} of ${plan.runs}`)
    const dataDir = join(folder, 'start')
    try {
      for (const id of ['start.first', 'start.again']) {
        const server = await startServer({ dataDir })
        await server.stop()
        list.add(id, server.readyMs / 1_000)
      }
    } finally {
      await removeFolder(dataDir)
    }
  }
  return list.findings
}
