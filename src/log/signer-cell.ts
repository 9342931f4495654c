import { formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { asHash } from '../../tlog/hash.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { readSecretFile, writeSecretFile } from '../store/secret-file.ts'
import { type Ending, LogEnded, readEnding } from './ending.ts'
import { LogIncident } from './incident.ts'

/**
 * The signer's memory: the last checkpoint it signed, kept outside the database and outside its backups. A restored
 * or rewritten database is found out by it.
 */
export type SignerCell = {
  /** Undefined where nothing was ever signed. */
  readonly read: () => Promise<StoredCheckpoint | undefined>
  /**
   * Resolves when the checkpoint is durable. LOCKED where the cell holds no longer what was read or written here last:
   * another server has signed, and the head must be compared with the cell before anything else is done. After any
   * other rejection it is not known what the cell holds.
   */
  readonly write: (checkpoint: StoredCheckpoint) => Promise<void>
}

/** A cell with what else its place needs. */
export type OpenedCell = SignerCell & {
  /** Makes room for a first checkpoint. Throws where the place does not keep what two servers would need. */
  readonly prepare: () => Promise<void>
  /** Ends the log: whoever reads the cell from then on gets LogEnded. As `write`, of a cell that was read. */
  readonly end: (ending: Ending) => Promise<void>
  readonly close: () => Promise<void>
}

/**
 * A cell in a file: for one server, since nothing compares and writes a file in one step. What is compared before shows
 * that somebody put another file there.
 */
export function openFileCell(path: string): Pick<OpenedCell, 'read' | 'write' | 'end'> {
  let known: { readonly text: string | undefined } | undefined
  // A crash leaves the old text or the new one; the new one is flushed before this resolves.
  const replace = async (text: string): Promise<void> => {
    if (known !== undefined && known.text !== (await readSecretFile(path))) throw movedCell()
    await writeSecretFile(path, text)
    known = { text }
  }
  return {
    read: async () => {
      const text = await readSecretFile(path)
      const checkpoint = text === undefined ? undefined : readCell(`signer state ${path}`, text)
      known = { text }
      return checkpoint
    },
    write: (checkpoint) => replace(encodeCell(checkpoint)),
    end: (ending) => replace(encodeEnded(ending)),
  }
}

/** What a cell answers that somebody else has written to. */
export function movedCell(): LogIncident {
  return new LogIncident('LOCKED', 'another server has signed meanwhile: the signer state is not what was read last')
}

/** Throws, naming the place, where the text is not what a signer wrote; LogEnded where the log was ended. */
export function readCell(place: string, text: string): StoredCheckpoint {
  try {
    const cell: unknown = JSON.parse(text)
    const ended = member(cell, 'ended')
    if (ended !== undefined) throw new LogEnded(readEnding(ended))
    return decodeCell(cell)
  } catch (cause) {
    if (cause instanceof LogEnded) throw cause
    throw new Error(`${place}: not what a signer wrote`, { cause })
  }
}

/** Programs that know nothing of endings find no checkpoint in it, and refuse it. */
export function encodeEnded(ended: Ending): string {
  return `${JSON.stringify({ ended }, null, 2)}\n`
}

export function encodeCell(checkpoint: StoredCheckpoint): string {
  const { number, treeSize, timestampMs, note } = checkpoint
  const root = formatBase64(checkpoint.root)
  const sthSignature = formatBase64(checkpoint.sthSignature)
  const cose = checkpoint.coseSignature
  const coseSignature = cose === null ? {} : { coseSignature: formatBase64(cose) }
  return `${JSON.stringify({ number, treeSize, root, timestampMs, note, sthSignature, ...coseSignature }, null, 2)}\n`
}

function decodeCell(cell: unknown): StoredCheckpoint {
  const cose = member(cell, 'coseSignature')
  return {
    number: integer(member(cell, 'number')),
    treeSize: integer(member(cell, 'treeSize')),
    root: asHash(parseBase64(string(member(cell, 'root')))),
    timestampMs: integer(member(cell, 'timestampMs')),
    note: string(member(cell, 'note')),
    sthSignature: parseBase64(string(member(cell, 'sthSignature'))),
    coseSignature: cose === undefined ? null : parseBase64(string(cose)),
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
