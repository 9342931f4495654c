/** File systems of a few MiB, which fill. Mounts end with the mount namespace that the suite runs in. */
import { execFileSync } from 'node:child_process'
import { type FileHandle, open, rm } from 'node:fs/promises'
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
  return {
    dir,
    fill: () => fillUp(ballast),
    clear: () => rm(ballast),
    resize: (to) => execFileSync('mount', ['-o', `remount,size=${to}m`, dir]),
    // Whoever still works in it goes on, and sees it no more.
    unmount: () => execFileSync('umount', ['--lazy', dir]),
  }
}

/** Piece by piece until not a byte more goes in: others write meanwhile. */
async function fillUp(path: string): Promise<void> {
  const file = await open(path, 'a')
  try {
    for (const pieceBytes of [1_048_576, 4_096, 1]) {
      const piece = Buffer.alloc(pieceBytes)
      while (await hasWritten(file, piece));
    }
  } finally {
    await file.close()
  }
}

async function hasWritten(file: FileHandle, piece: Buffer): Promise<boolean> {
  try {
    return (await file.write(piece)).bytesWritten === piece.length
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return false
  }
}
