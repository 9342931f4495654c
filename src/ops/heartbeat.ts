// A dead-man service is told of each round of a verifier, and raises the alarm when it hears nothing: who silences the
// verifier is found out by somebody else.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { requestOutside } from './outside-request.ts'
import { settleWithin } from './time-out.ts'

/**
 * How a service wants to be told. `healthchecks`: POST to the URL with `/start`, `/fail` or nothing behind its path,
 * words in the body, and the round's id as `rid`. `cronitor`: GET with `state` (run, complete, fail), `message` and
 * `series`. `plain`: GET of the URL when a round succeeded and nothing else: the service hears of failures by silence.
 */
export type HeartbeatStyle = 'healthchecks' | 'cronitor' | 'plain'

export const heartbeatStyles: readonly HeartbeatStyle[] = ['healthchecks', 'cronitor', 'plain']

export type BeatKind = 'start' | 'success' | 'fail'

export type HeartbeatOptions = {
  /** Its path may be a secret: it is in no error. */
  readonly url: URL
  readonly style: HeartbeatStyle
  /** Told of each ping that arrived, or was given up. */
  readonly onSent: (kind: BeatKind) => void
  readonly onFailed: (kind: BeatKind, reason: string) => void
  readonly timing?: Partial<HeartbeatTiming>
}

/** Milliseconds. */
export type HeartbeatTiming = {
  /** Of one attempt. */
  readonly timeoutMs: number
  /** Before the second and each further attempt. */
  readonly pausesMs: readonly number[]
  /** What `close` waits for. */
  readonly lastMs: number
}

const defaultTiming: HeartbeatTiming = { timeoutMs: 5_000, pausesMs: [1_000, 3_000], lastMs: 5_000 }

/** Pings that wait while the service does not answer; of more the oldest are forgotten. */
const waitingMax = 4
/** Services keep 10,000 bytes and more. */
const wordsCharactersMax = 2_000

type Beat = { readonly kind: BeatKind; readonly words: string; readonly round: string }

/** Pings in the order of the rounds, behind them: nobody waits for it, and no failure of it is one of the round. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #timing: HeartbeatTiming
  readonly #stopping = new AbortController()
  readonly #waiting: Beat[] = []
  #sending: Promise<void> | undefined
  #round: string = randomUUID()

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
  }

  /** A round begins. */
  start(): void {
    this.#round = randomUUID()
    this.#add('start', '')
  }

  /** The round found nothing; `words` for whoever looks there. */
  success(words = ''): void {
    this.#add('success', words)
  }

  /** The round found something, or could not be done: `reason` says which. */
  fail(reason: string): void {
    this.#add('fail', reason)
  }

  /** Waits for what is under way, a few seconds at most. Never rejects. */
  async close(): Promise<void> {
    await settleWithin(this.#timing.lastMs, 'heartbeat', this.#sending ?? Promise.resolve()).catch(() => {})
    this.#stopping.abort()
    await this.#sending
  }

  #add(kind: BeatKind, words: string): void {
    if (this.#stopping.signal.aborted) return
    if (this.#options.style === 'plain' && kind !== 'success') return
    if (this.#waiting.length >= waitingMax) this.#waiting.shift()
    this.#waiting.push({ kind, words: words.slice(0, wordsCharactersMax).toWellFormed(), round: this.#round })
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  async #sendAll(): Promise<void> {
    for (let beat = this.#waiting.shift(); beat !== undefined; beat = this.#waiting.shift()) {
      const error = await this.#send(beat)
      if (error === undefined) this.#options.onSent(beat.kind)
      else this.#options.onFailed(beat.kind, error)
    }
  }

  /** The reason of the last attempt, where none arrived. */
  async #send(beat: Beat): Promise<string | undefined> {
    const { signal } = this.#stopping
    for (let attempt = 0; ; attempt++) {
      const reason = await this.#ping(beat, signal)
      const pauseMs = this.#timing.pausesMs[attempt]
      if (reason === undefined || pauseMs === undefined || signal.aborted) return reason
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  async #ping(beat: Beat, signal: AbortSignal): Promise<string | undefined> {
    const { url, style } = this.#options
    const { target, body } = pingOf(style, url, beat)
    const headers = { 'content-type': 'text/plain; charset=utf-8' }
    const request = body === undefined ? { method: 'GET' as const } : { method: 'POST' as const, headers, body }
    try {
      const { status } = await requestOutside(target, request, this.#timing.timeoutMs, signal)
      return status >= 200 && status < 300 ? undefined : `status ${status}`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
}

type Ping = { readonly target: URL; readonly body: string | undefined }

function pingOf(style: HeartbeatStyle, url: URL, { kind, words, round }: Beat): Ping {
  const target = new URL(url)
  if (style === 'plain') return { target, body: undefined }
  if (style === 'healthchecks') {
    if (kind !== 'success') target.pathname = `${target.pathname.replace(/\/$/, '')}/${kind}`
    target.searchParams.set('rid', round)
    return { target, body: words }
  }
  target.searchParams.set('state', cronitorStates[kind])
  target.searchParams.set('series', round)
  if (words !== '') target.searchParams.set('message', words)
  return { target, body: undefined }
}

const cronitorStates: Readonly<Record<BeatKind, string>> = { start: 'run', success: 'complete', fail: 'fail' }
