import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { manifestName } from '../../store/base-backup.ts'

export const backupFolderName = 'base-backup'

/** Copies of a cluster are large, and one attack can open a hundred incidents. */
const backupsMax = 3
const againMs = 3_600_000

/**
 * Why there is to be no further base backup for the incident of `folder`; undefined where there is. Those that are not
 * whole count not.
 */
export async function whyNoFurther(folder: string, nowMs: number): Promise<string | undefined> {
  const forensics = dirname(folder)
  const finished = new Map<string, number>()
  for (const incident of await readdir(forensics)) {
    const manifest = join(forensics, incident, backupFolderName, manifestName)
    const found = await stat(manifest).catch(() => undefined)
    if (found !== undefined) finished.set(incident, found.mtimeMs)
  }
  const [newest] = [...finished].sort(([, a], [, b]) => b - a)
  if (newest !== undefined && nowMs - newest[1] < againMs) {
    return `that of incident ${newest[0]} was finished at ${new Date(newest[1]).toISOString()}, within the last hour`
  }
  if (finished.size < backupsMax) return undefined
  return `${finished.size} are kept already in ${forensics}: move them away`
}
