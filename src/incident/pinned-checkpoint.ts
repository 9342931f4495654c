import { join } from 'node:path'
import { equalBytes, formatHex } from '../../tlog/bytes.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { writeSecretFile } from '../store/secret-file.ts'
import type { Measure } from './containment.ts'

export type PinOptions = {
  /** Of trees of so many entries the verifier had hashed all rows; undefined where it had not looked yet. */
  readonly verifiedSize: () => number | undefined
  /** The newest stored ones of at most `size` entries, the newest first. */
  readonly readStored: (size: number) => Promise<readonly StoredCheckpoint[]>
  /** Whether the log signed it, and its columns say what was signed. */
  readonly isSigned: (checkpoint: StoredCheckpoint) => boolean
  readonly readMemory: () => Promise<StoredCheckpoint | undefined>
}

/**
 * Keeps the last good checkpoint: the newest stored one that the log signed and whose tree the verifier had hashed; where
 * there is none, or the signer remembers another tree of its size, the signer's own memory.
 */
export function pinCheckpoint(options: PinOptions): Measure {
  return {
    name: 'pin-checkpoint',
    carryOut: async (_, folder) => {
      const { checkpoint, from } = await readGood(options)
      const path = join(folder, 'checkpoint')
      await writeSecretFile(path, checkpoint.note)
      const { number, treeSize, root } = checkpoint
      return `checkpoint ${number} of ${treeSize} entries, root ${formatHex(root)}, from ${from}, is kept in ${path}`
    },
  }
}

async function readGood(options: PinOptions): Promise<{ checkpoint: StoredCheckpoint; from: string }> {
  const memory = await options.readMemory()
  // A database that is away must not keep us from what the signer remembers.
  const stored = await readVerified(options).catch(() => undefined)
  if (stored !== undefined && !contradicts(stored, memory)) {
    return { checkpoint: stored, from: 'the database, all rows below it hashed' }
  }
  if (memory === undefined) throw new Error('there is no good checkpoint: the signer remembers nothing')
  return { checkpoint: memory, from: "the signer's memory" }
}

async function readVerified(options: PinOptions): Promise<StoredCheckpoint | undefined> {
  const { verifiedSize, readStored, isSigned } = options
  const size = verifiedSize()
  return size === undefined ? undefined : (await readStored(size)).find(isSigned)
}

/** Whoever has the key may have signed what is stored; the signer remembers what it signed itself. */
function contradicts(stored: StoredCheckpoint, memory: StoredCheckpoint | undefined): boolean {
  if (memory === undefined) return false
  return stored.number > memory.number || (stored.treeSize === memory.treeSize && !equalBytes(stored.root, memory.root))
}
