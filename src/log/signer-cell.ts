import { formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { asHash } from '../../tlog/hash.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'

/**
 * The signer's memory: the last checkpoint it signed, kept outside the database and outside its backups. A restored
 * or rewritten database is found out by it.
 */
export type SignerCell = {
  /** Undefined where nothing was ever signed. */
  readonly read: () => Promise<StoredCheckpoint | undefined>
  /** Resolves when the checkpoint is durable. */
  readonly write: (checkpoint: StoredCheckpoint) => Promise<void>
}

/** A cell in a file: for one server. */
export function openFileCell(path: string): SignerCell {
  return {
    read: () => readCell(path),
    // A crash leaves the old checkpoint or the new one; the new one is flushed before this resolves.
    write: (checkpoint) => writeSecretFile(path, encodeCell(checkpoint)),
  }
}

async function readCell(path: string): Promise<StoredCheckpoint | undefined> {
  const text = await readSecretFile(path)
  if (text === undefined) return undefined
  try {
    return decodeCell(text)
  } catch (cause) {
    throw new Error(`signer state ${path}: not what a signer wrote`, { cause })
  }
}

function encodeCell(checkpoint: StoredCheckpoint): string {
  const { number, treeSize, timestampMs, note } = checkpoint
  const root = formatBase64(checkpoint.root)
  const sthSignature = formatBase64(checkpoint.sthSignature)
  return `${JSON.stringify({ number, treeSize, root, timestampMs, note, sthSignature }, null, 2)}\n`
}

function decodeCell(text: string): StoredCheckpoint {
  const cell: unknown = JSON.parse(text)
  return {
    number: integer(member(cell, 'number')),
    treeSize: integer(member(cell, 'treeSize')),
    root: asHash(parseBase64(string(member(cell, 'root')))),
    timestampMs: integer(member(cell, 'timestampMs')),
    note: string(member(cell, 'note')),
    sthSignature: parseBase64(string(member(cell, 'sthSignature'))),
  }
}

function member(value: unknown, name: string): unknown {
  return (value as Record<string, unknown> | null)?.[name]
}

function integer(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new TypeError(`got ${typeof value}, want an integer`)
  return value as number
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`got ${typeof value}, want text`)
  return value
}
