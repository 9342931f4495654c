// The verifier of a server: a process of its own, so that neither its memory nor its work is the server's.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KnownFinding } from './audit/verifier-state.ts'
import type { WatchProgress } from './audit/watch.ts'
import type { Logger } from './ops/logger.ts'

const program = join(import.meta.dirname, 'cli', 'main.js')
/** A server that is started and stopped again needs none; one that starts is left alone. */
const startMs = 3_000
/** After a verifier that ended by itself. */
const restartMs = 10_000
const stopMs = 2_000
/** Its heap: rows are not kept. */
const heapMib = 96

/** What a verifier tells its server. */
type Message =
  | { readonly kind: 'progress'; readonly progress: WatchProgress }
  | { readonly kind: 'finding'; readonly finding: KnownFinding }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'unstored'; readonly reason: string }

export type VerifierEvents = {
  /** Told once of each finding, over all starts. */
  readonly onFinding: (finding: KnownFinding) => void
  readonly logger: Logger
}

/** Starts the verifier, and again when it has ended, until it is stopped. */
export class Verifier {
  readonly #events: VerifierEvents
  #progress: WatchProgress | undefined
  #isFailing = false

  constructor(events: VerifierEvents) {
    this.#events = events
  }

  /** Undefined before it could look the first time. */
  get progress(): WatchProgress | undefined {
    return this.#progress
  }

  /** Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {})
    await pause(startMs)
    while (!signal.aborted) {
      await this.#runOnce(signal)
      if (!signal.aborted) await pause(restartMs)
    }
  }

  async #runOnce(signal: AbortSignal): Promise<void> {
    const { logger } = this.#events
    const child = fork(program, ['verify', '--watch'], {
      // Its lines are for people; it tells us more by messages.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [`--max-old-space-size=${heapMib}`, '--max-semi-space-size=4'],
    })
    child.on('message', (message: Message) => this.#take(message))
    child.on('error', (error) => logger.error({ err: error }, 'the verifier cannot be started'))
    const ended = once(child, 'exit').catch(() => [])
    const stop = (): void => endChild(child)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    const [status, by] = (await ended) as [number | null | undefined, string | null | undefined]
    signal.removeEventListener('abort', stop)
    if (!signal.aborted) logger.error({ status, signal: by }, 'the verifier has ended; it is started again')
  }

  #take(message: Message): void {
    const { logger, onFinding } = this.#events
    switch (message.kind) {
      case 'progress':
        if (this.#isFailing) logger.info('the verifier can check again')
        this.#isFailing = false
        this.#progress = message.progress
        return
      case 'finding':
        onFinding(message.finding)
        return
      case 'failed':
        if (!this.#isFailing) logger.error({ reason: message.reason }, 'the verifier cannot check')
        this.#isFailing = true
        return
      case 'unstored':
        logger.error({ reason: message.reason }, 'a finding or the progress of the verifier could not be stored')
    }
  }
}

function endChild(child: ChildProcess): void {
  child.kill('SIGTERM')
  setTimeout(() => child.kill('SIGKILL'), stopMs).unref()
}
