import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { EvidenceJson } from '../../../tlog/evidence.ts'
import { createSecretFile } from '../../store/secret-file.ts'

const namesMax = 1_000

/**
 * Writes evidence to a new file of mode 0600 in `folder`, which is made where it is missing; its name is of time and
 * type. Durable when it resolves; nothing that is there is written over.
 */
export async function keepEvidence(
  folder: string,
  evidence: EvidenceJson,
): Promise<{ readonly file: string; readonly sha256: string }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const text = `${JSON.stringify(evidence, null, 2)}\n`
  const name = `${evidence.seenAt.replaceAll(':', '-')}-${evidence.violationType}`
  for (let n = 1; n <= namesMax; n++) {
    const file = resolve(join(folder, `${name}${n === 1 ? '' : `-${n}`}.json`))
    if (await createSecretFile(file, text)) return { file, sha256: createHash('sha256').update(text).digest('hex') }
  }
  throw new Error(`${folder}: has ${namesMax} files of the name ${name}`)
}
