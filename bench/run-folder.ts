import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** A folder for one run of the bench, open to the user that runs PostgreSQL. */
export async function makeRunFolder(parent: string | undefined): Promise<string> {
  const folder = await mkdtemp(join(resolve(parent ?? tmpdir()), 'dendrolog-bench-'))
  await chmod(folder, 0o711)
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
}
