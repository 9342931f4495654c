/** File systems of a few MiB, which fill. Mounts end with the mount namespace that the suite runs in. */
import { execFileSync } from 'node:child_process'
import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Why no file system is mounted here; undefined where it may be. */
export function whyNoMounts(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root mounts file systems'
  if (process.env.DENDROLOG_TEST_MOUNTS !== 'private')
    return 'DENDROLOG_TEST_MOUNTS=private does not say that mounts may'
  return undefined
}

export type SmallDisk = {
  readonly dir: string
  readonly freeBytes: () => Promise<number>
  /** Takes all that is free, in a file of its own. */
  readonly fill: () => Promise<void>
  /** Removes that file. */
  readonly clear: () => Promise<void>
  readonly resize: (mib: number) => void
  readonly unmount: () => void
}

/** Mounts an empty one on `dir`. */
export function mountSmallDisk(dir: string, mib: number): SmallDisk {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0755`, 'dendrolog-small', dir])
  const ballast = join(dir, 'ballast')
  const freeBytes = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(dir)
    return bavail * bsize
  }
  return {
    dir,
    freeBytes,
    fill: async () => writeFile(ballast, Buffer.alloc(await freeBytes())),
    clear: () => rm(ballast),
    resize: (to) => execFileSync('mount', ['-o', `remount,size=${to}m`, dir]),
    // Whoever still works in it goes on, and sees it no more.
    unmount: () => execFileSync('umount', ['--lazy', dir]),
  }
}
