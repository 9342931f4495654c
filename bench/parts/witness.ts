// A witness of 1,000 logs, which all ask at once.
import { join } from 'node:path'
import { runLoad } from '../load/load-process.ts'
import { logOf, type WitnessLoad, type WitnessResult } from '../load/witness.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'
import { removeFolder } from '../run-folder.ts'
import { startWitness } from '../witness-process.ts'

const logs = 1_000
const connections = 64

export async function measureWitness({ plan, folder, progress }: PartContext): Promise<Findings> {
  const list = new FindingsList()
  const vkeys = Array.from({ length: logs }, (_, i) => logOf(i).vkey)
  for (let run = 1; run <= plan.runs; run++) {
    progress(`witness: run ${run} of ${plan.runs}`)
    const dataDir = join(folder, 'witness')
    const witness = await startWitness(dataDir, 'bench.example/witness', vkeys)
    try {
      const before = witness.processorSeconds()
      const startedAt = performance.now()
      const { rate, p99Ms, failed } = await runLoad<WitnessLoad, WitnessResult>('./witness.js', {
        ...{ port: Number(witness.url.port), logs, connections, seconds: plan.singleSeconds },
      })
      const cores = (witness.processorSeconds() - before) / ((performance.now() - startedAt) / 1_000)
      list.add('witness.rate', rate)
      list.add('witness.perCore', rate / Math.max(cores, Number.EPSILON))
      list.add('witness.p99', p99Ms)
      list.add('witness.failed', failed)
      const peak = witness.peakMb()
      if (peak !== undefined) list.add('witness.memory', peak)
    } finally {
      await witness.stop()
      await removeFolder(dataDir)
    }
  }
  return list.findings
}
