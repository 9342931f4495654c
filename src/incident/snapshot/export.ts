// Copies of what is stored around a finding, one file a table, in FOLDER with a manifest that is written last.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Schema } from '../../store/batch.ts'
import type { ReadSession } from '../../store/copy-out.ts'
import { catalogParts, sessionsPart } from '../../store/forensics/catalog-parts.ts'
import { evidenceBounds, evidenceParts } from '../../store/forensics/evidence-parts.ts'
import { ofOneMoment, type Part, readPart } from '../../store/forensics/part.ts'
import { type Kept, keepFile } from '../../store/kept-file.ts'
import { type LogNames, readStoredSchema, type StoredSchema } from '../../store/schema-facts.ts'
import { syncFolder, writeSecretFile } from '../../store/secret-file.ts'
import type { ContainedIncident } from '../containment.ts'
import { placeOf } from './place.ts'

export type ExportOptions = {
  readonly origin: string
  readonly names: LogNames
  readonly schema: Schema
  /** Of a login that reads evidence, and no more. */
  readonly openReader: () => Promise<ReadSession>
  /** Of whoever may see most of what the server says of itself. */
  readonly openCatalog: () => Promise<ReadSession>
  /** What the signer remembers, as JSON. */
  readonly readMemory: () => Promise<unknown>
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

export type Exported = {
  readonly files: number
  readonly bytes: number
  /** What is missing, and why. */
  readonly failures: readonly string[]
}

type ExportedFile = Kept & {
  readonly file: string
  readonly what: string
  /** RFC 3339. */
  readonly at: string
  readonly lines: number
  /** There was more, which a file does not take, or which could not be read. */
  readonly isCut: boolean
}

const fileBytesMax = 268_435_456

/** Who is connected, as lines of JSON. */
export async function readSessions({ openCatalog }: ExportOptions, signal: AbortSignal): Promise<string> {
  let lines = ''
  await withSession(openCatalog, signal, (session) =>
    ofOneMoment(session, async () => {
      for await (const line of readPart(session, sessionsPart)) lines += line
    }),
  )
  return lines
}

/**
 * Keeps what is stored around the finding; `sessionsBefore` is of `readSessions`, before anything was done about the
 * incident. What cannot be read is left out and told. Rejects where nothing can be kept, and soon after `signal` aborts.
 */
export async function exportEvidence(
  options: ExportOptions,
  incident: ContainedIncident,
  sessionsBefore: Promise<string> | undefined,
  folder: string,
  signal: AbortSignal,
): Promise<Exported> {
  await mkdir(folder, { mode: 0o700 })
  try {
    return await new Export(options, folder, signal).run(incident, sessionsBefore)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

class Export {
  readonly #options: ExportOptions
  readonly #folder: string
  readonly #signal: AbortSignal
  readonly #files: ExportedFile[] = []
  readonly #failures: { readonly part: string; readonly reason: string }[] = []

  constructor(options: ExportOptions, folder: string, signal: AbortSignal) {
    this.#options = options
    this.#folder = folder
    this.#signal = signal
  }

  async run(incident: ContainedIncident, sessionsBefore: Promise<string> | undefined): Promise<Exported> {
    const { origin, nowMs, names, schema, openReader, openCatalog, readMemory } = this.#options
    const startedAt = new Date(nowMs()).toISOString()
    await this.#keepJson('finding', 'the finding with its evidence', async () => incident)
    await this.#keepJson('signer-memory', 'what the signer remembers that it signed last', readMemory)
    if (sessionsBefore !== undefined) {
      const what = `${sessionsPart.what}, before anything was done about the incident`
      await this.#keep(
        'sessions-before',
        'jsonl',
        what,
        textOf(() => sessionsBefore),
      )
    }
    await this.#withSession('catalog', openCatalog, async (session) => {
      await this.#keepParts(session, catalogParts(names))
      const facts = async (): Promise<unknown> => plainFacts(await readStoredSchema(session.query, names))
      await this.#keepJson('schema', "objects of the log's schemas with columns, constraints and rights", facts)
    })
    await this.#withSession('evidence', openReader, (session) =>
      this.#keepParts(session, evidenceParts(schema, placeOf(incident.finding))),
    )
    await syncFolder(this.#folder)
    const times = { startedAt, finishedAt: new Date(nowMs()).toISOString() }
    const facts = { what: 'forensic export', incident: incident.id, origin, ...times, bounds: evidenceBounds }
    const manifest = { ...facts, files: this.#files, missing: this.#failures }
    await writeSecretFile(join(this.#folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    const bytes = this.#files.reduce((sum, file) => sum + file.bytes, 0)
    return {
      ...{ files: this.#files.length, bytes },
      failures: this.#failures.map(({ part, reason }) => `${part} (${reason})`),
    }
  }

  #withSession(
    part: string,
    open: () => Promise<ReadSession>,
    work: (session: ReadSession) => Promise<void>,
  ): Promise<void> {
    return this.#try(part, () => withSession(open, this.#signal, work))
  }

  #keepParts(session: ReadSession, parts: readonly Part[]): Promise<void> {
    return ofOneMoment(session, async () => {
      for (const part of parts) await this.#keepPart(session, part)
    })
  }

  #keepPart(session: ReadSession, part: Part): Promise<void> {
    return this.#keep(part.name, 'jsonl', part.what, readPart(session, part))
  }

  async #keepJson(name: string, what: string, read: () => Promise<unknown>): Promise<void> {
    const text = async (): Promise<string> => `${JSON.stringify((await read()) ?? null, null, 2)}\n`
    await this.#keep(name, 'json', what, textOf(text))
  }

  async #keep(name: string, ending: string, what: string, texts: AsyncIterable<string>): Promise<void> {
    const file = `${name}.${ending}`
    const path = join(this.#folder, file)
    const bounded = new BoundedLines(texts)
    await this.#try(name, async () => {
      const kept = await keepFile(path, bounded.chunks()).catch(async (error: Error) => {
        await rm(path, { force: true })
        throw error
      })
      const { lines, isCut, failure } = bounded
      if (failure !== undefined && lines === 0) await rm(path)
      else this.#files.push({ file, what, at: new Date(this.#options.nowMs()).toISOString(), lines, isCut, ...kept })
      if (failure !== undefined) throw failure.error
    })
  }

  async #try(part: string, work: () => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted()
    try {
      await work()
    } catch (error) {
      this.#signal.throwIfAborted()
      this.#failures.push({ part, reason: error instanceof Error ? error.message : String(error) })
    }
  }
}

/** Counts what passes, and ends before there is too much of it, or where no more can be read. */
class BoundedLines {
  readonly #texts: AsyncIterable<string>
  lines = 0
  isCut = false
  failure: { readonly error: unknown } | undefined

  constructor(texts: AsyncIterable<string>) {
    this.#texts = texts
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#bounded()
    } catch (error) {
      this.isCut = true
      this.failure = { error }
    }
  }

  async *#bounded(): AsyncGenerator<Uint8Array> {
    let bytes = 0
    for await (const text of this.#texts) {
      const chunk = Buffer.from(text)
      bytes += chunk.length
      this.isCut = bytes > fileBytesMax
      if (this.isCut) return
      this.lines += text.split('\n').length - 1
      yield chunk
    }
  }
}

async function* textOf(read: () => Promise<string>): AsyncGenerator<string> {
  yield await read()
}

async function withSession(
  open: () => Promise<ReadSession>,
  signal: AbortSignal,
  work: (session: ReadSession) => Promise<void>,
): Promise<void> {
  const session = await open()
  // A statement that waits for a lock would wait on.
  const end = (): void => void session.close().catch(() => {})
  signal.addEventListener('abort', end)
  try {
    signal.throwIfAborted()
    await work(session)
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

function plainFacts({ objects, migration, isGuardBySuperuser }: StoredSchema): object {
  const plain = [...objects].map(([name, facts]) => [name, Object.fromEntries(facts)] as const)
  return { migration, isGuardBySuperuser, objects: Object.fromEntries(plain) }
}
