import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { concatBytes } from '../../../tlog/bytes.ts'
import { openCheckpoint } from '../../../tlog/checkpoint.ts'
import { asTreeSize } from '../../../tlog/coords.ts'
import { hashBytes } from '../../../tlog/hash.ts'
import type { TileReader } from '../../../tlog/log-reader.ts'
import { textVerifier } from '../../../tlog/note.ts'
import { formatVkey, type VerifierKey } from '../../../tlog/note-key.ts'
import { formatTilePath, tileWidth } from '../../../tlog/tile.ts'
import { rootOfFullTile } from '../../../tlog/tile-nodes.ts'
import type { SecondCopy } from '../../audit/compare-copies.ts'
import { Refused } from '../../client/errors.ts'
import { LogClient } from '../../client/log-client.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { TileFiles } from '../../tiles/tile-files.ts'
import { UsageError } from '../command.ts'
import { openFetch, readServerUrl } from '../server-fetch.ts'

export type OpenedCopy = { readonly copy: SecondCopy; readonly close: () => Promise<void> }

/**
 * A second copy of the log's tiles: the URL of a server, a folder of C2SP tiles with their `checkpoint`, or a server's own
 * `tiles` folder, which has no checkpoint. What is signed is checked with `key`.
 */
export async function openSecondCopy(where: string, key: VerifierKey, ca: string | undefined): Promise<OpenedCopy> {
  if (/^https?:/.test(where)) return openServerCopy(where, key, ca)
  if ((await stat(where).catch(() => undefined)) === undefined) throw new UsageError(`--against: ${where} is not there`)
  if (await isThere(join(where, 'checkpoint'))) return openFolderCopy(where, key)
  if (await isThere(join(where, '0'))) return openTileFilesCopy(where, key)
  throw new UsageError(`--against: ${where} holds neither a checkpoint with tiles nor tile files`)
}

async function openServerCopy(url: string, key: VerifierKey, ca: string | undefined): Promise<OpenedCopy> {
  const fetch = await openFetch(ca)
  // Somebody waits: a server that is not there is told after four seconds.
  const retry = { attemptsMax: 5 }
  const client = new LogClient({ url: readServerUrl(url).href, vkey: formatVkey(key), fetch, retry })
  const { checkpoint } = await client.readSignedCheckpoint()
  const readTile: TileReader['readTile'] = async (level, index, width) => {
    try {
      return await client.readTile(level, index, width)
    } catch (error) {
      if (error instanceof Refused && error.status === 404) throw missing(level, index)
      throw error
    }
  }
  return { copy: { reader: { readTile }, size: checkpoint.size, root: checkpoint.root }, close: async () => {} }
}

async function openFolderCopy(folder: string, key: VerifierKey): Promise<OpenedCopy> {
  const note = await readFile(join(folder, 'checkpoint'))
  const { checkpoint } = openCheckpoint(note, key.name, [textVerifier(key, nodeSignatureCheck)])
  const readTile: TileReader['readTile'] = async (level, index, width) => {
    const pathOf = (slots: number): string => join(folder, formatTilePath({ level, index, width: slots }))
    // A partial tile may be removed when there is the full one, which begins with it.
    const bytes = (await readIfThere(pathOf(width))) ?? (await readIfThere(pathOf(tileWidth)))
    if (bytes === undefined) throw missing(level, index)
    return bytes.subarray(0, hashBytes * width)
  }
  return { copy: { reader: { readTile }, size: checkpoint.size, root: checkpoint.root }, close: async () => {} }
}

async function openTileFilesCopy(folder: string, key: VerifierKey): Promise<OpenedCopy> {
  const files = await TileFiles.open(folder, key.name)
  const readFull = async (level: number, index: number): Promise<Uint8Array> => {
    const tile = await files.readTile({ level, index })
    if (tile === undefined) throw missing(level, index)
    return tile
  }
  const readTile: TileReader['readTile'] = async (level, index, width) => {
    if (index < files.count(level)) return (await readFull(level, index)).subarray(0, hashBytes * width)
    if (level === 0 || width === tileWidth) throw missing(level, index)
    const below = Array.from({ length: width }, (_, slot) => readFull(level - 1, index * tileWidth + slot))
    return concatBytes(...(await Promise.all(below)).map((tile) => rootOfFullTile(tile, nativeSha256)))
  }
  const size = asTreeSize(files.count(0) * tileWidth)
  return { copy: { reader: { readTile }, size, root: undefined }, close: () => files.close() }
}

function missing(level: number, index: number): RangeError {
  return new RangeError(`tile ${index} of level ${level} is not there`)
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true
}
