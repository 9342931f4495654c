// Which files of a cluster a base backup has (PostgreSQL documentation, 25.3.4.3, and what pg_basebackup leaves out).
import type { Dirent } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** Something below a cluster's folder; paths are relative to it. */
export type ClusterItem =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly bytes: number }
  | { readonly kind: 'tablespace'; readonly path: string; readonly target: string }
  /** Not copied, but told: links too, since whoever made one could have us read any file of the machine. */
  | { readonly kind: 'other'; readonly path: string }

/** Made anew at a start, or of no use to another server: the folder is kept, what is in it is not. */
const emptied = new Set([
  ...['pg_wal', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'],
  'pg_wal/archive_status',
])
const leftOut = new Set([
  ...['postmaster.pid', 'postmaster.opts', 'backup_label', 'tablespace_map', 'backup_manifest'],
  ...['postgresql.auto.conf.tmp', 'current_logfiles.tmp'],
])
/** Files and folders of sorts and hashes; the catalog's cache; relations of sessions (`t3_16384`). */
const passing = /^(pgsql_tmp|pg_internal\.init)|^t\d+_\d+(_[a-z]+)?(\.\d+)?$/

/** All that is copied, folders before what is in them. What is removed meanwhile is left out: the WAL knows of it. */
export async function* listCluster(root: string, below = ''): AsyncGenerator<ClusterItem> {
  for (const entry of await entriesOf(join(root, below))) {
    const path = join(below, entry.name)
    if (leftOut.has(path) || passing.test(entry.name)) continue
    const item = await itemOf(root, path, entry)
    if (item === undefined) continue
    yield item
    if (item.kind === 'folder' && !emptied.has(path)) yield* listCluster(root, path)
  }
}

/** Of a tablespace; nothing where a link leads to anything else. */
export async function* listTablespace(target: string): AsyncGenerator<ClusterItem> {
  const versions = (await entriesOf(target)).filter((entry) => entry.isDirectory() && entry.name.startsWith('PG_'))
  for (const { name } of versions) {
    yield { kind: 'folder', path: name }
    yield* listCluster(target, name)
  }
}

async function itemOf(root: string, path: string, entry: Dirent): Promise<ClusterItem | undefined> {
  // pg_wal may be a link to another disk; what is in it is copied on its own.
  if (entry.isDirectory() || emptied.has(path)) return { kind: 'folder', path }
  const place = join(root, path)
  if (entry.isSymbolicLink() && path === join('pg_tblspc', basename(path))) {
    return { kind: 'tablespace', path, target: await readlink(place) }
  }
  const found = await lstat(place).catch(ignoreMissing)
  if (found === undefined) return undefined
  return found.isFile() ? { kind: 'file', path, bytes: found.size } : { kind: 'other', path }
}

async function entriesOf(dir: string): Promise<readonly Dirent[]> {
  return (await readdir(dir, { withFileTypes: true }).catch(ignoreMissing)) ?? []
}

/** Undefined for what is not there any more. */
export function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
