// What a witness must never forget: an append-only file of groups of records. A group is written with one write and
// flushed before the next one begins, so that after a crash only the last one may be torn, which nobody was answered.
// Frame of a group: length of its body (uint32), the first 16 bytes of SHA-256 of its body, the first 4 of SHA-256 of
// these 20, the body: records, each a length (uint32) and its bytes.
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { equalBytes } from '../../tlog/bytes.ts'

/** Its file is not what a journal leaves behind. Whoever goes on without it may cosign two histories. */
export class JournalError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'JournalError'
  }
}

export type Journal = {
  /** All records that were durable when it was opened, the oldest first. */
  readonly records: readonly Uint8Array[]
  /**
   * Appends a group; resolves when it is durable. One call at a time. When it rejects, nobody knows what is on the disk:
   * the process must end.
   */
  append(records: readonly Uint8Array[]): Promise<void>
  /** Bytes of the file. */
  readonly size: number
  close(): Promise<void>
}

export const groupBytesMax = 16_777_216
const lengthBytes = 4
const digestBytes = 16
const headCheckBytes = 4
const headBytes = lengthBytes + digestBytes + headCheckBytes
/** What a disk writes as a whole. */
const sectorBytes = 512

/** Opens the journal of a path, or begins it. JournalError where what is there is damaged. */
export async function openJournal(path: string): Promise<Journal> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  try {
    const { records, end, isTorn } = readGroups(await handle.readFile(), path)
    if (isTorn) {
      await handle.truncate(end)
      await handle.sync()
    }
    await syncFolder(dirname(path))
    return new FileJournal(handle, records, end)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Puts a journal of these records in place of the one of a path, which nobody has open; a crash leaves one of the two. */
export async function replaceJournal(path: string, records: readonly Uint8Array[]): Promise<void> {
  const next = `${path}.next`
  await rm(next, { force: true })
  const handle = await open(next, 'wx', 0o600)
  try {
    for (const group of groupsOf(records)) await handle.appendFile(frameOf(group))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(next, path)
  await syncFolder(dirname(path))
}

class FileJournal implements Journal {
  readonly records: readonly Uint8Array[]
  readonly #handle: FileHandle
  #size: number

  constructor(handle: FileHandle, records: readonly Uint8Array[], size: number) {
    this.#handle = handle
    this.records = records
    this.#size = size
  }

  get size(): number {
    return this.#size
  }

  async append(records: readonly Uint8Array[]): Promise<void> {
    const frame = frameOf(records)
    const { bytesWritten } = await this.#handle.write(frame, 0, frame.length, this.#size)
    if (bytesWritten !== frame.length) throw new JournalError(`wrote ${bytesWritten} of ${frame.length} bytes`)
    await this.#handle.datasync()
    this.#size += frame.length
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

function frameOf(records: readonly Uint8Array[]): Uint8Array {
  const length = records.reduce((sum, record) => sum + lengthBytes + record.length, 0)
  if (length > groupBytesMax) throw new JournalError(`group of ${length} bytes, limit ${groupBytesMax}`)
  const frame = new Uint8Array(headBytes + length)
  const view = new DataView(frame.buffer)
  view.setUint32(0, length)
  let at = headBytes
  for (const record of records) {
    view.setUint32(at, record.length)
    frame.set(record, at + lengthBytes)
    at += lengthBytes + record.length
  }
  frame.set(digestOf(frame.subarray(headBytes)).subarray(0, digestBytes), lengthBytes)
  frame.set(headCheckOf(frame), lengthBytes + digestBytes)
  return frame
}

type Groups = { readonly records: readonly Uint8Array[]; readonly end: number; readonly isTorn: boolean }

function readGroups(bytes: Uint8Array, path: string): Groups {
  const records: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    const body = bodyAt(bytes, at)
    if (body === undefined) {
      if (!isTorn(bytes, at)) {
        throw new JournalError(
          `${path}: what is at byte ${at} is not what was written there; the rest cannot be believed`,
        )
      }
      return { records, end: at, isTorn: true }
    }
    for (const record of recordsOf(body, path)) records.push(record)
    at += headBytes + body.length
  }
  return { records, end: at, isTorn: false }
}

/** Undefined where no whole group is there. */
function bodyAt(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const length = lengthAt(bytes, at)
  if (length === undefined) return undefined
  const body = bytes.subarray(at + headBytes, at + headBytes + length)
  const digest = bytes.subarray(at + lengthBytes, at + lengthBytes + digestBytes)
  return equalBytes(digestOf(body).subarray(0, digestBytes), digest) ? body : undefined
}

/** Of the body of a group; undefined where its head is not one. */
function lengthAt(bytes: Uint8Array, at: number): number | undefined {
  const head = bytes.subarray(at, at + headBytes)
  if (head.length < headBytes || !equalBytes(headCheckOf(head), head.subarray(lengthBytes + digestBytes)))
    return undefined
  return viewOf(head).getUint32(0)
}

/**
 * Whether what is at `at`, which is no whole group, may be a write that a crash cut: the file ends within its head or its
 * body, or a sector of it was never written and reads as zeros. Anything else was changed after it was durable.
 */
function isTorn(bytes: Uint8Array, at: number): boolean {
  const length = lengthAt(bytes, at)
  if (length === undefined) return bytes.length - at < headBytes || isZero(bytes, afterSector(at, bytes.length))
  const end = at + headBytes + length
  return bytes.length < end || (bytes.length === end && hasUnwrittenSector(bytes, at))
}

/** Where the sector ends in which a head is cut; of one that is not, where the head begins. */
function afterSector(at: number, size: number): number {
  const next = sectorBytes * Math.ceil(at / sectorBytes)
  return next < Math.min(at + headBytes, size) ? next : at
}

function hasUnwrittenSector(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; ) {
    const next = Math.min(bytes.length, sectorBytes * (Math.floor(at / sectorBytes) + 1))
    if (next - at > 1 && isZero(bytes.subarray(0, next), at)) return true
    at = next
  }
  return false
}

function isZero(bytes: Uint8Array, from: number): boolean {
  return bytes.subarray(from).every((byte) => byte === 0)
}

function recordsOf(body: Uint8Array, path: string): Uint8Array[] {
  const records: Uint8Array[] = []
  for (let at = 0; at < body.length; ) {
    const length = body.length - at < lengthBytes ? Number.POSITIVE_INFINITY : viewOf(body).getUint32(at)
    if (at + lengthBytes + length > body.length) throw new JournalError(`${path}: a record is longer than its group`)
    records.push(body.slice(at + lengthBytes, at + lengthBytes + length))
    at += lengthBytes + length
  }
  return records
}

/** In as few groups as they fit in. */
function groupsOf(records: readonly Uint8Array[]): Uint8Array[][] {
  const groups: Uint8Array[][] = []
  let room = 0
  for (const record of records) {
    const bytes = lengthBytes + record.length
    if (bytes > room) {
      groups.push([])
      room = groupBytesMax
    }
    groups.at(-1)?.push(record)
    room -= bytes
  }
  return groups
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

function headCheckOf(head: Uint8Array): Uint8Array {
  return digestOf(head.subarray(0, lengthBytes + digestBytes)).subarray(0, headCheckBytes)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The name of a new file is durable with its folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
