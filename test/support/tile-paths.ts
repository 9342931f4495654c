import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const vectors = join(import.meta.dirname, '..', 'vectors', 'tiles', 'paths.json')

/** Paths without a leading slash that name no tile of any log of some hundred entries: malformed ones, and some beyond it. */
export function notFoundTilePaths(): readonly string[] {
  const { invalid } = JSON.parse(readFileSync(vectors, 'utf8')) as { invalid: readonly string[] }
  const sendable = invalid.filter((path) => !path.includes(' '))
  const beyond = [
    'tile/0/999',
    'tile/2/000',
    'tile/2/000.p/1',
    'tile/63/000',
    'tile/entries/x001/000',
    'tile/1/000',
    'tile/0/999.p/1',
  ]
  const twisted = [
    'tile/0/%30%30%30',
    'tile/0/000%2ep/1',
    'tile%2f0/000',
    'tile/0/000.p%2F1',
    'tile/entries/',
    'tile/0/000.p/1.p/1',
  ]
  return [...sendable, ...beyond, ...twisted]
}
