/**
 * A copy of a running cluster's files that PostgreSQL starts from, with the WAL that this needs. FOLDER/pg is the
 * cluster, FOLDER/tablespaces what lies elsewhere; FOLDER/manifest.json, written last, says that all is there.
 */
import { mkdir, readdir, realpath, rm, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { ClientConfig } from 'pg'
import { type ClusterItem, ignoreMissing, listCluster, listTablespace } from './base-backup/cluster-files.ts'
import { type BackupSession, type StoppedBackup, withBackupSession } from './base-backup/session.ts'
import { isHistory, segmentsBetween } from './base-backup/wal.ts'
import { type Kept, keepFile, readChunks } from './kept-file.ts'
import { syncFolder, writeSecretFile } from './secret-file.ts'

export type BaseBackupOptions = {
  /** A superuser's connection. */
  readonly admin: ClientConfig
  /** The folder of the cluster, of which this process can read all. */
  readonly pg: string
  /** Must not be there yet; the one around it must. */
  readonly folder: string
  /** In backup_label and in the manifest. */
  readonly label: string
  /** Bytes that may still be written below a folder. */
  readonly freeBytes: (folder: string) => Promise<number>
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

export type BaseBackup = { readonly files: number; readonly bytes: number; readonly version: string }

type CopiedFile = Kept & { readonly file: string }

/** What the disk must have left: it may be the log's own. */
const reserveBytes = 1_073_741_824
/** The cluster grows while it is copied. */
const growth = 1.1
/** Looked at again after so many bytes. */
const lookBytes = 67_108_864

export const manifestName = 'manifest.json'

/** Of the disk of a folder, for this user. */
export async function readFreeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/**
 * Rejects where the disk has not the room, the login may not, or WAL that is needed is gone; soon after `signal` aborts
 * too. Then nothing of it is left.
 */
export async function takeBaseBackup(options: BaseBackupOptions, signal: AbortSignal): Promise<BaseBackup> {
  const { admin, folder, freeBytes } = options
  signal.throwIfAborted()
  return withBackupSession(admin, signal, async (session) => {
    await checkFolder(options, session)
    await checkRoom(await sizeOf(listCluster(options.pg)), await freeBytes(dirname(folder)))
    await mkdir(folder, { mode: 0o700 })
    try {
      return await new Copy(options, signal).run(session)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      signal.throwIfAborted()
      throw error
    }
  })
}

/** Files of one server and the label of another would be no backup. */
async function checkFolder({ pg }: BaseBackupOptions, { facts }: BackupSession): Promise<void> {
  const [asked, ours] = await Promise.all([realpath(facts.dataFolder), realpath(pg)])
  if (asked !== ours) throw new Error(`the server's files are in ${asked}, not in ${ours}`)
}

function checkRoom(needed: number, free: number): void {
  const wanted = Math.ceil(needed * growth) + reserveBytes
  if (free >= wanted) return
  throw new Error(
    `the disk has ${inMib(free)} MiB left, a copy of ${inMib(needed)} MiB and a reserve need ${inMib(wanted)}`,
  )
}

function inMib(bytes: number): number {
  return Math.ceil(bytes / 1_048_576)
}

async function sizeOf(items: AsyncIterable<ClusterItem>): Promise<number> {
  let bytes = 0
  for await (const item of items) {
    if (item.kind === 'file') bytes += item.bytes
    if (item.kind === 'tablespace') bytes += await sizeOf(listTablespace(item.target))
  }
  return bytes
}

class Copy {
  readonly #options: BaseBackupOptions
  readonly #signal: AbortSignal
  readonly #files: CopiedFile[] = []
  readonly #folders: string[]
  readonly #notCopied: string[] = []
  #bytes = 0
  #lookAt = lookBytes

  constructor(options: BaseBackupOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#folders = [options.folder]
  }

  async run(session: BackupSession): Promise<BaseBackup> {
    const { folder, label, pg, nowMs } = this.#options
    const startedAt = new Date(nowMs()).toISOString()
    await session.start(label)
    await this.#copyFolder(pg, 'pg', listCluster(pg))
    const stopped = await session.stop()
    // The session keeps them until its end.
    await this.#copyWal(stopped, session.facts.segmentBytes)
    await this.#writeLabel(stopped)
    for (const each of this.#folders.toReversed()) await syncFolder(each)
    const { version, systemIdentifier } = session.facts
    const { stopLsn, firstSegment, lastSegment, tablespaceMap } = stopped
    const times = { startedAt, finishedAt: new Date(nowMs()).toISOString() }
    const facts = { label, ...times, version, systemIdentifier, stopLsn, firstSegment, lastSegment, tablespaceMap }
    const manifest = { what: 'base backup', ...facts, notCopied: this.#notCopied, files: this.#files }
    await writeSecretFile(join(folder, manifestName), `${JSON.stringify(manifest, null, 1)}\n`)
    return { files: this.#files.length, bytes: this.#bytes, version }
  }

  /** `to` is relative to the backup's folder, as in the manifest. */
  async #copyFolder(from: string, to: string, items: AsyncIterable<ClusterItem>): Promise<void> {
    await this.#makeFolder(to)
    for await (const item of items) await this.#copyItem(from, to, item)
  }

  async #copyItem(from: string, to: string, item: ClusterItem): Promise<void> {
    const target = join(to, item.path)
    switch (item.kind) {
      case 'folder':
        return this.#makeFolder(target)
      case 'file':
        return this.#copyFile(join(from, item.path), target)
      case 'tablespace':
        await this.#makeFolder('tablespaces')
        return this.#copyFolder(item.target, join('tablespaces', basename(item.path)), listTablespace(item.target))
      case 'other':
        this.#notCopied.push(target)
    }
  }

  async #copyWal({ firstSegment, lastSegment }: StoppedBackup, segmentBytes: number): Promise<void> {
    const wal = join(this.#options.pg, 'pg_wal')
    for (const name of segmentsBetween(firstSegment, lastSegment, segmentBytes)) {
      const before = this.#files.length
      await this.#copyFile(join(wal, name), join('pg', 'pg_wal', name))
      if (this.#files.length === before)
        throw new Error(`the WAL segment ${name}, which a start needs, is not there any more`)
    }
    const histories = (await readdir(wal)).filter(isHistory)
    for (const name of histories) await this.#copyFile(join(wal, name), join('pg', 'pg_wal', name))
  }

  /** The map names the copies: whoever starts the backup must not open the tablespaces of the cluster that runs. */
  async #writeLabel({ label, tablespaceMap }: StoppedBackup): Promise<void> {
    const { folder } = this.#options
    await this.#writeFile('backup_label', label)
    if (tablespaceMap === '') return
    const moved = tablespaceMap
      .split('\n')
      .map((line) => line.replace(/^(\d+) .*$/, (_, oid: string) => `${oid} ${join(folder, 'tablespaces', oid)}`))
    await this.#writeFile('tablespace_map', moved.join('\n'))
  }

  #writeFile(name: string, text: string): Promise<void> {
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(text)
    }
    return this.#keep(join('pg', name), chunks())
  }

  /** Nothing where the file is not there any more. */
  async #copyFile(from: string, to: string): Promise<void> {
    await this.#keep(to, readChunks(from, this.#signal)).catch(async (error: NodeJS.ErrnoException) => {
      ignoreMissing(error)
      await rm(join(this.#options.folder, to), { force: true })
    })
  }

  async #keep(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const kept = await keepFile(join(this.#options.folder, file), chunks)
    this.#files.push({ file, ...kept })
    this.#bytes += kept.bytes
    if (this.#bytes < this.#lookAt) return
    this.#lookAt = this.#bytes + lookBytes
    await this.#checkReserve()
  }

  async #checkReserve(): Promise<void> {
    const { folder, freeBytes } = this.#options
    if ((await freeBytes(folder)) < reserveBytes) {
      throw new Error(
        `the disk has less than ${inMib(reserveBytes)} MiB left after ${inMib(this.#bytes)} MiB were copied`,
      )
    }
  }

  async #makeFolder(path: string): Promise<void> {
    const folder = join(this.#options.folder, path)
    await mkdir(folder, { mode: 0o700, recursive: true })
    this.#folders.push(folder)
  }
}
