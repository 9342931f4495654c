// Who knows a log from outside of its database, as far as the settings say.
import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { encodeUtf8 } from '../../../tlog/bytes.ts'
import { openCheckpoint, parseCheckpoint } from '../../../tlog/checkpoint.ts'
import { rangeRoot } from '../../../tlog/compact-range.ts'
import { parseNote, textVerifier } from '../../../tlog/note.ts'
import type { VerifierKey } from '../../../tlog/note-key.ts'
import type { KnownHead } from '../../audit/outside-check.ts'
import type { OutsideSource, Remembered, SignerMemory } from '../../audit/reconcile.ts'
import type { Config } from '../../config.ts'
import { openCell } from '../../log/cell-place.ts'
import type { Ending } from '../../log/ending.ts'
import { loggableMessage } from '../../ops/describe-error.ts'
import { readGivenFile } from '../../ops/given-file.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { nodeSignatureCheck } from '../../ops/signing.ts'
import { cellPlaceOf, nameOfPlace } from '../../signer-state.ts'
import { readFiledHead } from '../../tiles/filed-head.ts'
import { type OwnLog, readState } from './state.ts'

/** Files are read again after this time: what was known before is known still. */
const filesMs = 60_000
const filesMax = 10_000
const fileBytesMax = 1_048_576
/** Of files that are no checkpoints; one is enough for "not all could be checked". */
const unreadMax = 10

/** The signer's memory, where the settings have it. */
export function memoryOf(config: Config, origin: string): SignerMemory {
  const place = cellPlaceOf(config)
  return {
    place: nameOfPlace(place),
    read: async () => {
      const cell = openCell(place, origin)
      try {
        return await cell.read()
      } finally {
        await cell.close()
      }
    },
  }
}

/** Copies of full tiles in the data folder, each of which was compared with a signed tree. */
export function tileFilesSource({ dataDir }: Config, origin: string): OutsideSource {
  const name = 'the folder of tile files'
  return rarely({
    ...{ name, isSigned: true },
    read: async () => {
      const head = await readFiledHead(join(dataDir, 'tiles'), origin, nativeSha256)
      return { heads: head === undefined ? [] : [{ treeSize: head.treeSize, root: head.root, knownBy: name }] }
    },
  })
}

/** What the verifier of the data folder has hashed: heads, signed or not yet. */
export function verifierSource(config: Config, log: OwnLog): OutsideSource {
  const name = 'the verifier'
  return {
    ...{ name, isSigned: false },
    read: async () => {
      const state = await readState(config, log)
      if (state === undefined) return { heads: [] }
      return { heads: [{ treeSize: state.base.size, root: rangeRoot(state.base, nativeSha256), knownBy: name }] }
    },
  }
}

/** The last checkpoint of a log that was ended. */
export function endingSource({ checkpoint }: Ending): OutsideSource {
  const { size: treeSize, root } = parseCheckpoint(parseNote(encodeUtf8(checkpoint)).text)
  const name = 'the end of the log'
  return { name, isSigned: true, read: async () => ({ heads: [{ treeSize, root, knownBy: name }] }) }
}

/** Checkpoints that an operator collected: notes, or what has one as its `checkpoint` (receipts), in a file or a folder. */
export function knownCheckpointsSource(path: string, key: VerifierKey): OutsideSource {
  return rarely({
    ...{ name: 'known checkpoints', isSigned: true },
    read: async () => {
      const heads: KnownHead[] = []
      const unread: string[] = []
      for (const file of await filesAt(path)) {
        try {
          heads.push(await readKnownCheckpoint(file, key))
        } catch (error) {
          if (unread.length < unreadMax) unread.push(loggableMessage(error as Error))
        }
      }
      return { heads, unread }
    },
  })
}

async function filesAt(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const found = await readdir(path, { withFileTypes: true })
  const names = found.filter((entry) => entry.isFile() && !entry.name.startsWith('.')).map(({ name }) => name)
  if (names.length > filesMax) throw new Error(`${path}: has ${names.length} files, at most ${filesMax} are read`)
  return names.sort().map((name) => join(path, name))
}

async function readKnownCheckpoint(file: string, key: VerifierKey): Promise<KnownHead> {
  const place = resolve(file)
  const text = (await readGivenFile(file, fileBytesMax)).toString('utf8')
  try {
    const note = text.startsWith('{') ? noteOf(JSON.parse(text)) : text
    const { checkpoint } = openCheckpoint(encodeUtf8(note), key.name, [textVerifier(key, nodeSignatureCheck)])
    return { treeSize: checkpoint.size, root: checkpoint.root, knownBy: 'a known checkpoint', place }
  } catch (cause) {
    throw new Error(`${place}: is no checkpoint that ${key.name} signed`, { cause })
  }
}

function noteOf(value: unknown): string {
  const note = typeof value === 'object' && value !== null && 'checkpoint' in value ? value.checkpoint : undefined
  if (typeof note !== 'string') throw new TypeError('it has no checkpoint')
  return note
}

/** A source that is asked again only after a while. */
function rarely(source: OutsideSource): OutsideSource {
  let last: { readonly atMs: number; readonly remembered: Remembered } | undefined
  return {
    ...source,
    read: async () => {
      const atMs = performance.now()
      if (last === undefined || atMs - last.atMs > filesMs) last = { atMs, remembered: await source.read() }
      return last.remembered
    },
  }
}
