// The log's own acts, wired: who signs them, who has something to tell, and the loop that makes entries of them.

import type { Sha256 } from '../../tlog/hash.ts'
import type { AnyNoteSigner, NoteVerifier } from '../../tlog/note.ts'
import { formatMicroseconds } from '../../tlog/time.ts'
import { type Act, insertActs, type SignAct, type SignedAct } from '../store/acts.ts'
import type { Schema } from '../store/batch.ts'
import { readUntoldIncidents, tellIncident, type UntoldIncident } from '../store/incidents.ts'
import type { QuarantinedRecord } from '../store/quarantine.ts'
import type { Query } from '../store/session.ts'
import { ActRecorder, type ActRecorderOptions, type ActSource, type ActTiming } from './act-recorder.ts'
import { ActSums, type SaidAct } from './act-sums.ts'
import { createSignAct, prepareAct, signAct } from './own-act-entry.ts'
import { ownActor, type ShownSetting, tellMigrations, tellSettingsChanged } from './start-acts.ts'

export type ActsOptions = Pick<ActRecorderOptions, 'submit' | 'isReady' | 'onFailed' | 'onDropped'> & {
  /** Of the login that keeps state. */
  readonly query: Query
  readonly schema: Schema
  readonly signer: AnyNoteSigner
  readonly verifier: NoteVerifier
  readonly hash: Sha256
  readonly makeId: () => Uint8Array
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** By which this server is known: the id in its data folder. */
  readonly server: string
  readonly settings: readonly ShownSetting[]
  readonly recordsStarts: boolean
  /** Between sums; 0 where nothing is summed. */
  readonly sumIntervalMs: number
  readonly timing?: Partial<ActTiming>
}

/** What the server tells the log of itself. */
export type Acts = {
  readonly sign: SignAct
  readonly noteRead: (identity: string, route: string) => void
  readonly noteQuarantined: (records: readonly QuarantinedRecord[]) => void
  /** Records until `signal` aborts, then what there is; the log should run until this resolves. Never rejects. */
  readonly run: (signal: AbortSignal) => Promise<void>
  /** When the log has ended: what came meanwhile is kept for the next start. Never rejects. */
  readonly close: () => Promise<void>
}

/** Signed acts that wait for room in the outbox, or for the database. */
const waitingMax = 2_000
/** Acts of one statement. */
const insertedMax = 250
const incidentsMax = 100
const detailCharactersMax = 4_000

export function openActs(options: ActsOptions): Acts {
  const { query, schema, server, settings, sumIntervalMs } = options
  const sign = createSignAct(options)
  const waiting = new WaitingActs(query, schema, (act) => signAct(options, act))
  const wait = (said: readonly SaidAct[]): void => waiting.add(said.map((each) => prepareAct(options, each)))
  const sums = new ActSums(options.nowMs)
  const stopping = new AbortController()
  const sources: ActSource[] = [
    once('migrations', () => tellMigrations(query, schema, sign)),
    once('settings', () => tellSettingsChanged(query, schema, sign, server, settings)),
    { name: 'sums', tell: tellSums(sums, waiting, wait, options, stopping.signal) },
  ]
  const whenReady = [{ name: 'incidents', tell: () => tellIncidents(query, schema, sign) }]
  const recorder = new ActRecorder({ ...options, sources, whenReady })
  const noteServer = (kind: 'started' | 'stopped'): void => {
    if (options.recordsStarts) wait([serverAct(kind, server)])
  }
  return {
    sign,
    noteRead: (identity, route) => {
      if (sumIntervalMs > 0) sums.noteRead(identity, route)
    },
    noteQuarantined: (records) => {
      if (sumIntervalMs > 0) for (const { writer, code } of records) sums.noteQuarantined(writer, code)
    },
    run: async (signal) => {
      noteServer('started')
      signal.addEventListener('abort', () => {
        noteServer('stopped')
        stopping.abort()
      })
      await recorder.run(signal)
    },
    close: () => recorder.close(),
  }
}

/** Takes the sums when they are due, or the log is about to stop, and puts what waits into the outbox, signed. */
function tellSums(
  sums: ActSums,
  waiting: WaitingActs,
  wait: (said: readonly SaidAct[]) => void,
  { nowMs, sumIntervalMs }: Pick<ActsOptions, 'nowMs' | 'sumIntervalMs'>,
  stopping: AbortSignal,
): () => Promise<void> {
  let summedAtMs = nowMs()
  return async () => {
    const passedMs = nowMs() - summedAtMs
    const isDue = stopping.aborted || passedMs >= sumIntervalMs || passedMs < 0
    if (isDue && waiting.hasRoom) {
      summedAtMs = nowMs()
      wait(sums.take())
    }
    await waiting.insert()
  }
}

/** A source that has told all it had when it did not fail. */
function once(name: string, work: () => Promise<void>): ActSource {
  let isDone = false
  const tell = async (): Promise<void> => {
    if (isDone) return
    await work()
    isDone = true
  }
  return { name, tell }
}

/** Acts on their way into the outbox, each with its id: one whose insertion has an unknown outcome is the same again. */
class WaitingActs {
  readonly #query: Query
  readonly #schema: Schema
  readonly #sign: (act: Act) => Promise<SignedAct>
  #acts: Act[] = []

  constructor(query: Query, schema: Schema, sign: (act: Act) => Promise<SignedAct>) {
    this.#query = query
    this.#schema = schema
    this.#sign = sign
  }

  get hasRoom(): boolean {
    return this.#acts.length < waitingMax
  }

  add(acts: readonly Act[]): void {
    this.#acts.push(...acts)
  }

  async insert(): Promise<void> {
    for (let next = this.#acts.slice(0, insertedMax); next.length > 0; next = this.#acts.slice(0, insertedMax)) {
      await insertActs(this.#query, this.#schema, await Promise.all(next.map(this.#sign)))
      this.#acts = this.#acts.filter((act) => !next.includes(act))
    }
  }
}

async function tellIncidents(query: Query, schema: Schema, sign: SignAct): Promise<void> {
  for (const incident of await readUntoldIncidents(query, schema, incidentsMax)) {
    await tellIncident(query, schema, incident, await sign(incidentAct(incident)))
  }
}

function incidentAct({ code, detail, publishedSize, count, firstSeen, lastSeen }: UntoldIncident): SaidAct {
  return {
    ...{ action: 'dendrolog.incident', actorId: ownActor, resource: `incident:${code}` },
    detail: {
      ...{ code, detail: detail.slice(0, detailCharactersMax).toWellFormed(), publishedSize, count },
      ...{ firstSeen: formatMicroseconds(firstSeen), lastSeen: formatMicroseconds(lastSeen) },
    },
  }
}

function serverAct(kind: 'started' | 'stopped', server: string): SaidAct {
  return { action: `dendrolog.server.${kind}`, actorId: ownActor, resource: `server:${server}`, detail: {} }
}
