import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/** A process that another one has started; undefined where it has none. */
export async function childOf(parent: number | undefined): Promise<number | undefined> {
  if (parent === undefined) return undefined
  const children = await readChildren(parent).catch(() => askPs(parent))
  return children[0]
}

/** Linux. */
async function readChildren(parent: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

/** POSIX; images without this have the other. */
async function askPs(parent: number): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid='])
  const pairs = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  return pairs.filter(([, ppid]) => ppid === parent).map(([pid = 0]) => pid)
}
