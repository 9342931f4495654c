import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { encodeUtf8 } from '../../tlog/bytes.ts'
import { parseCheckpoint } from '../../tlog/checkpoint.ts'
import { type CosigningKey, cosign } from '../../tlog/cosignature.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { formatNote, formatSignatureLine, type NoteVerifier, parseNote } from '../../tlog/note.ts'
import { type CosignedHead, decideAddCheckpoint, type Refusal } from './decide.ts'
import { type Journal, JournalError, openJournal, replaceJournal } from './journal.ts'

export type LogToWitness = { readonly origin: string; readonly verifiers: readonly NoteVerifier[] }

export type WitnessOptions = {
  /** Which nobody else has open. */
  readonly dataDir: string
  readonly keys: readonly CosigningKey[]
  readonly logs: readonly LogToWitness[]
  readonly sha256: Sha256
  readonly nowMs: () => number
  /** Told once, when what was cosigned could not be made durable: the process must end. */
  readonly onFatal: (error: unknown) => void
}

/** `lines`: the cosignatures, one line a key. */
export type Answer = { readonly kind: 'cosigned'; readonly lines: string } | Refusal

/** What was cosigned last of a log: `durable` was answered, `head` may be on its way there. */
type Row = { head: CosignedHead; durable: Uint8Array | undefined; cosignedS?: number }

type Waiting = {
  readonly origin: string
  readonly note: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Written anew with the last of each log when it has more. */
const journalBytesMax = 67_108_864

/**
 * Cosigns what extends the last that it cosigned, log by log (C2SP tlog-witness). The next request of a log is decided by
 * what was accepted before it, also while that is not durable yet: it becomes durable first, or nothing does. Nothing is
 * answered before it is durable.
 */
export class Witness {
  readonly #options: WitnessOptions
  readonly #logs: ReadonlyMap<string, readonly NoteVerifier[]>
  readonly #rows = new Map<string, Row>()
  readonly #origins: ReadonlyMap<string, string>
  #journal: Journal
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #fatal: unknown

  private constructor(options: WitnessOptions, journal: Journal) {
    this.#options = options
    this.#journal = journal
    this.#logs = new Map(options.logs.map(({ origin, verifiers }) => [origin, verifiers]))
    this.#origins = new Map(options.logs.map(({ origin }) => [monitoringId(origin), origin]))
    for (const record of journal.records) {
      const { origin, size, root } = parseCheckpoint(parseNote(record).text)
      this.#rows.set(origin, { head: { size, root }, durable: record })
    }
  }

  /** JournalError where what it cosigned before cannot be read. */
  static async open(options: WitnessOptions): Promise<Witness> {
    const witness = new Witness(options, await openJournal(journalPath(options.dataDir)))
    await witness.#shorten()
    return witness
  }

  /** Resolves when the cosignatures may be given away. Rejects when they could not be made durable. */
  async addCheckpoint(body: Uint8Array): Promise<Answer> {
    if (this.#fatal !== undefined) throw this.#fatal
    const { sha256, keys, nowMs } = this.#options
    const decision = decideAddCheckpoint(body, (origin) => this.#logOf(origin), sha256)
    if (decision.kind === 'refused') return decision
    const { checkpoint, text, note } = decision
    const timeS = Math.floor(nowMs() / 1_000)
    const cosignatures = keys.map((key) => cosign(key, text, timeS))
    const cosigned = formatNote({ text, signatures: [...note.signatures, ...cosignatures] })
    this.#accept(checkpoint)
    await this.#store(checkpoint.origin, cosigned)
    const row = this.#rows.get(checkpoint.origin)
    if (row !== undefined) row.cosignedS = timeS
    return { kind: 'cosigned', lines: cosignatures.map(formatSignatureLine).join('') }
  }

  /** The checkpoint that was cosigned last, with signatures; by the hex SHA-256 of its origin. Undefined where none was. */
  readCheckpoint(id: string): Uint8Array | undefined {
    const origin = this.#origins.get(id)
    return origin === undefined ? undefined : this.#rows.get(origin)?.durable
  }

  /** Of each log that is witnessed, the size that was cosigned last, 0 before, and when since the start. */
  get logs(): readonly { readonly origin: string; readonly size: number; readonly cosignedS: number | undefined }[] {
    return [...this.#logs.keys()].map((origin) => {
      const row = this.#rows.get(origin)
      return { origin, size: row?.head.size ?? 0, cosignedS: row?.cosignedS }
    })
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => {})
    await this.#journal.close()
  }

  #logOf(origin: string): { verifiers: readonly NoteVerifier[]; cosigned: CosignedHead | undefined } | undefined {
    const verifiers = this.#logs.get(origin)
    return verifiers && { verifiers, cosigned: this.#rows.get(origin)?.head }
  }

  #accept({ origin, size, root }: CosignedHead & { readonly origin: string }): void {
    const row = this.#rows.get(origin)
    if (row === undefined) this.#rows.set(origin, { head: { size, root }, durable: undefined })
    else row.head = { size, root }
  }

  #store(origin: string, note: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ origin, note, resolve, reject })
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined
      })
    })
  }

  /** All that came in while the group before was written is the next one. */
  async #writeAll(): Promise<void> {
    // Those of the same turn of the event loop come along.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        if (this.#journal.size > journalBytesMax) await this.#shorten()
        await this.#journal.append(group.map(({ note }) => note))
      } catch (error) {
        this.#end(error, [...group, ...this.#waiting])
        return
      }
      for (const { origin, note, resolve } of group) {
        const row = this.#rows.get(origin)
        if (row !== undefined) row.durable = note
        resolve()
      }
    }
  }

  #end(error: unknown, waiting: readonly Waiting[]): void {
    this.#fatal = new JournalError('what was cosigned cannot be made durable', { cause: error })
    this.#waiting = []
    for (const { reject } of waiting) reject(this.#fatal)
    this.#options.onFatal(this.#fatal)
  }

  /** Of logs that are not witnessed any more what was cosigned is remembered too: they may come back. */
  async #shorten(): Promise<void> {
    const notes = [...this.#rows.values()].flatMap(({ durable }) => (durable === undefined ? [] : [durable]))
    if (this.#journal.size <= 2 * notes.reduce((sum, note) => sum + note.length, 0) + journalBytesMax / 64) return
    await this.#journal.close()
    await replaceJournal(journalPath(this.#options.dataDir), notes)
    this.#journal = await openJournal(journalPath(this.#options.dataDir))
  }
}

/** By which monitors ask for a log's checkpoint: hex SHA-256 of its origin. */
export function monitoringId(origin: string): string {
  return createHash('sha256').update(encodeUtf8(origin)).digest('hex')
}

function journalPath(dataDir: string): string {
  return join(dataDir, 'cosigned')
}
