// `dendrolog check` of an evidence bundle with all that others can say of an entry, as a process of its own.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeBundle } from '../../tlog/bundle.ts'
import type { Findings } from '../measures.ts'
import { FindingsList, type PartContext } from '../part.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const vectors = join(root, 'test', 'vectors', 'evidence')
const checks = 21

export async function measureEvidence({ progress }: PartContext): Promise<Findings> {
  progress('evidence')
  const list = new FindingsList()
  const file = join(vectors, 'one.evidence')
  const bytes = await readFile(file)
  const stamps = decodeBundle(bytes).heads.flatMap((head) => head.stamps.flatMap((each) => [each, ...each.renewals]))
  const ofStamps = stamps.flatMap(({ token, certificates }) => [token, ...certificates])
  list.add('evidence.size', bytes.length - ofStamps.reduce((sum, each) => sum + each.length, 0))
  const { vkey, anchorLog } = JSON.parse(await readFile(join(vectors, 'keys.json'), 'utf8')) as Record<string, string>
  const trust = [
    '--roots',
    join(vectors, 'roots.pem'),
    '--policy',
    join(vectors, 'policy'),
    '--anchor-log',
    `${anchorLog}`,
  ]
  const main = join(root, 'dist', 'src', 'cli', 'main.js')
  for (let i = 0; i < checks; i++) {
    list.add('evidence.node', await timeOf(['-e', '0']))
    list.add('evidence.check', await timeOf([main, 'check', file, '--vkey', `${vkey}`, ...trust]))
  }
  return list.findings
}

/** Milliseconds from start to end of a process; rejects where its status is not 0. */
async function timeOf(args: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  await promisify(execFile)(process.execPath, [...args])
  return performance.now() - startedAt
}
