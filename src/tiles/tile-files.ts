import { close, constants, open, read, readSync, type Stats, stat, write } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { hashBytes } from '../../tlog/hash.ts'
import { tileWidth } from '../../tlog/tile.ts'
import { midWidth, type TilePart, upperNodesBytes, upperPyramid } from '../../tlog/tile-nodes.ts'

/** A full tile with the nodes from half-way up it, as `upperNodesIn` gives them. */
export type FiledTile = { readonly tile: Uint8Array; readonly upperNodes: Uint8Array }

/** A full tile of a level. */
export type TilePlace = { readonly level: number; readonly index: number }

const tileBytes = hashBytes * tileWidth
const recordBytes = tileBytes + upperNodesBytes + 4
const slotsBytes = hashBytes * midWidth
/** More are read again from the database until there is room. */
const damagedMax = 1_024
/**
 * A read of what the system has in memory takes 4 us here, and five times as much in another thread. One that took longer
 * than this may have waited for a disk, or only for a processor. After five such reads in a row, or where for some time
 * more than one of 20 is such, they are made in other threads for ten seconds.
 */
const slowReadMs = 0.5
const slowWeight = 20
const slowMax = 100
const elsewhereMs = 10_000

const openFile = promisify(open)
const closeFile = promisify(close)
const statFile: (path: string) => Promise<Stats> = promisify(stat)

/**
 * Copies of full tiles, a file a level: tile n of a level is record n of its file, 8,192 bytes of the tile, 992 of the
 * nodes from its mid roots up, and a CRC-32 over the log's origin, the place and both. Files can be removed while the
 * server is stopped, cut or damaged: what is not there as it was written is not given out, and is told in `damaged`.
 */
export class TileFiles {
  readonly #folder: string
  readonly #origin: string
  readonly #slowReadMs: number
  readonly #levels: Level[] = []
  readonly #damaged = new Map<string, TilePlace>()
  readonly #scratch = Buffer.allocUnsafeSlow(recordBytes)
  #slowness = 0
  #elsewhereUntil = Number.NEGATIVE_INFINITY

  private constructor(folder: string, origin: string, slowMs: number) {
    this.#folder = folder
    this.#origin = origin
    this.#slowReadMs = slowMs
  }

  /** Opens the files of a folder, which is made where it is missing; its parent must exist. */
  static async open(folder: string, origin: string, slowMs: number = slowReadMs): Promise<TileFiles> {
    await mkdir(folder, { mode: 0o700, recursive: true })
    const files = new TileFiles(folder, origin, slowMs)
    for (let level = 0; ; level++) {
      const found = await statFile(files.#path(level)).catch(() => undefined)
      if (found === undefined) return files
      files.#levels.push(await files.#openLevel(level))
    }
  }

  /** How many tiles of a level there are, from the first on. */
  count(level: number): number {
    return this.#levels[level]?.count ?? 0
  }

  /** What was found to be other than it was written, and was not written again. */
  get damaged(): readonly TilePlace[] {
    return [...this.#damaged.values()]
  }

  /** Undefined where the tile is not there, or not as it was written; at once unless a disk has to be waited for. */
  readTile(place: TilePlace): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    return andThen(this.#read(place, Buffer.allocUnsafeSlow(recordBytes)), (record) => record?.subarray(0, tileBytes))
  }

  /** Mid roots and 16 slots; likewise. */
  readPart(place: TilePlace, group: number): TilePart | undefined | Promise<TilePart | undefined> {
    const memory = this.#isAtOnce ? this.#scratch : Buffer.allocUnsafeSlow(recordBytes)
    return andThen(this.#read(place, memory), (record) => record && partOf(record, group))
  }

  /**
   * Writes tiles that follow each other: the next of their level, or such as are there. They are not flushed: what a crash
   * of the machine took is found out by its CRC.
   */
  async write({ level, index }: TilePlace, tiles: readonly FiledTile[]): Promise<void> {
    this.#levels[level] ??= await this.#openLevel(level)
    const file = this.#levels[level]
    if (index > file.count) throw new RangeError(`tile ${index} of level ${level}: ${file.count} are there before it`)
    const records = Buffer.concat(tiles.map((tile, i) => this.#encode({ level, index: index + i }, tile)))
    await writeAll(file.fd, records, index * recordBytes)
    file.count = Math.max(file.count, index + tiles.length)
    for (let i = index; i < index + tiles.length; i++) this.#damaged.delete(`${level}/${i}`)
  }

  /** Whoever still reads or writes has come to an end. */
  async close(): Promise<void> {
    await Promise.all(this.#levels.splice(0).map(({ fd }) => closeFile(fd)))
  }

  get #isAtOnce(): boolean {
    return performance.now() >= this.#elsewhereUntil
  }

  #read(place: TilePlace, memory: Buffer): Buffer | undefined | Promise<Buffer | undefined> {
    const file = this.#levels[place.level]
    if (file === undefined || place.index >= file.count) return undefined
    const position = place.index * recordBytes
    const isRead = this.#isAtOnce
      ? this.#readAtOnce(file.fd, memory, position)
      : readElsewhere(file.fd, memory, position)
    return andThen(isRead, (is) => (is ? this.#check(place, memory) : this.#noteDamaged(place)))
  }

  #readAtOnce(fd: number, memory: Buffer, position: number): boolean {
    const startedAt = performance.now()
    try {
      return readSync(fd, memory, 0, recordBytes, position) === recordBytes
    } catch {
      return false
    } finally {
      const now = performance.now()
      this.#noteTime(now - startedAt, now)
    }
  }

  #noteTime(tookMs: number, now: number): void {
    this.#slowness = Math.max(0, this.#slowness + (tookMs > this.#slowReadMs ? slowWeight : -1))
    if (this.#slowness < slowMax) return
    this.#slowness = 0
    this.#elsewhereUntil = now + elsewhereMs
  }

  #check(place: TilePlace, record: Buffer): Buffer | undefined {
    if (record.readUInt32BE(recordBytes - 4) === this.#checksum(place, record)) return record
    return this.#noteDamaged(place)
  }

  #noteDamaged(place: TilePlace): undefined {
    if (this.#damaged.size < damagedMax) this.#damaged.set(`${place.level}/${place.index}`, place)
  }

  #encode(place: TilePlace, { tile, upperNodes }: FiledTile): Buffer {
    const record = Buffer.allocUnsafe(recordBytes)
    record.set(tile, 0)
    record.set(upperNodes, tileBytes)
    record.writeUInt32BE(this.#checksum(place, record), recordBytes - 4)
    return record
  }

  #checksum({ level, index }: TilePlace, record: Buffer): number {
    return crc32(record.subarray(0, recordBytes - 4), crc32(`${this.#origin}\n${level}/${index}`))
  }

  async #openLevel(level: number): Promise<Level> {
    const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants
    const path = this.#path(level)
    const fd = await openFile(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
    const { size } = await statFile(path)
    return { fd, count: Math.floor(size / recordBytes) }
  }

  #path(level: number): string {
    return join(this.#folder, String(level))
  }
}

type Level = { readonly fd: number; count: number }

/** Copied: the record's memory is used again. */
function partOf(record: Buffer, group: number): TilePart {
  const copy = (from: number, to: number): Uint8Array => Uint8Array.prototype.slice.call(record, from, to)
  const upper = upperPyramid(copy(tileBytes, tileBytes + upperNodesBytes))
  return {
    ...{ group, slots: copy(group * slotsBytes, (group + 1) * slotsBytes) },
    ...{ midRoots: upper[0] as Uint8Array, upper },
  }
}

function andThen<T, U>(value: T | Promise<T>, then: (value: T) => U): U | Promise<U> {
  return value instanceof Promise ? value.then(then) : then(value)
}

/** Whether all of the record could be read. */
function readElsewhere(fd: number, memory: Buffer, position: number): Promise<boolean> {
  return new Promise((resolve) => {
    read(fd, memory, 0, recordBytes, position, (error, bytesRead) => {
      resolve(error === null && bytesRead === recordBytes)
    })
  })
}

async function writeAll(fd: number, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, at, bytes.length - at, position + at, (error, written) => {
        if (error === null) resolve(written)
        else reject(error)
      })
    })
  }
}
