import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { median } from './statistics.ts'

/** What the figures depend on, a line each. */
export type Facts = readonly (readonly [name: string, value: string])[]

/** The machine, and how fast the disk below `folder` makes 8 KiB durable. */
export async function describeMachine(folder: string): Promise<Facts> {
  return [
    ['cores', String(availableParallelism())],
    ['CPU', cpus()[0]?.model.trim() ?? 'unknown'],
    ['memory', `${(totalmem() / 1e9).toFixed(1)} GB`],
    ['operating system', `${readOsName()} (${type()} ${release()})`],
    ['Node', process.version],
    ['file system', fileSystemOf(folder)],
    ['write and fsync of 8 KiB', `${(await measureFsyncMs(folder)).toFixed(2)} ms (median of 200)`],
  ]
}

function readOsName(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? type()
  } catch {
    return type()
  }
}

/** The mount with the longest path above `folder`. Durability on tmpfs would mean nothing. */
function fileSystemOf(folder: string): string {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
    const fields = mounts.map((line) => line.split(' ')).filter(([, path = '/-']) => isBelow(folder, path))
    const longest = fields.toSorted(([, a = ''], [, b = '']) => b.length - a.length)[0]
    return longest?.[2] ?? 'unknown'
  } catch {
    return 'unknown'
  }
}

function isBelow(folder: string, path: string): boolean {
  return path === '/' || folder === path || folder.startsWith(`${path}/`)
}

async function measureFsyncMs(folder: string): Promise<number> {
  const path = join(folder, 'fsync-probe')
  const file = openSync(path, 'w')
  try {
    const times = Array.from({ length: 200 }, () => {
      const startedAt = performance.now()
      writeSync(file, Buffer.alloc(8_192))
      fsyncSync(file)
      return performance.now() - startedAt
    })
    return median(times)
  } finally {
    closeSync(file)
    await rm(path)
  }
}
