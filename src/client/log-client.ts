import { decodeUtf8 } from '../../tlog/bytes.ts'
import { type CheckpointBody, openCheckpoint } from '../../tlog/checkpoint.ts'
import { bundleEntryBytesMax, cutEntryBundle } from '../../tlog/entry-bundle.ts'
import { hashBytes } from '../../tlog/hash.ts'
import type { LogReader } from '../../tlog/log-reader.ts'
import { type NoteVerifier, noteBytesMax } from '../../tlog/note.ts'
import { parseVkey, type VerifierKey } from '../../tlog/note-key.ts'
import { checkTileLength, formatBundlePath, formatTilePath, tileWidth } from '../../tlog/tile.ts'
import { judge, Refused, unlessUnfit } from './errors.ts'
import { type Fetch, type HttpAnswer, type HttpRequest, send, textOf } from './http.ts'
import { problemOf, problemTextMax } from './problem.ts'
import { defaultRetryLimits, type RetryLimits, sendUntilAnswered } from './retry.ts'
import { checkIsEd25519, verifierOfNote } from './signature.ts'

export type LogClientOptions = {
  /** `https://host` or `https://host/path`, where the server's `/checkpoint` is. */
  readonly url: string
  /** The log's verifier key, from where you trust: never from the server that it is to check. */
  readonly vkey: string
  /** A writer's to submit, an auditor's to read entries; sent with those requests only. */
  readonly token?: string
  /** Of one attempt. Default 30,000: the server answers within 25 s. */
  readonly timeoutMs?: number
  readonly retry?: Partial<RetryLimits>
  /** Default: the platform's. */
  readonly fetch?: Fetch
}

/** A checkpoint whose signature holds. */
export type SignedCheckpoint = {
  readonly checkpoint: CheckpointBody
  /** Its text, which is the evidence. */
  readonly note: string
}

export type Post = {
  readonly path: string
  readonly contentType: string
  readonly body: string
  readonly bytesMax: number
}

const defaultTimeoutMs = 30_000
/** Of `fetch`; the types of Node do not know it. */
const reload = { cache: 'reload' } as const

/** Names a log and its key; asks nobody yet. Throws `malformed-key` and, for a URL that is none, a TypeError. */
export function openLogClient(options: LogClientOptions): LogClient {
  return new LogClient(options)
}

/**
 * A log over HTTP. As `LogReader` it hands out what the server says, lengths checked and nothing else: `openTree` and
 * `readEntry` check it. Methods reject with `Refused`, `Unavailable` and `CouldNotCheck`, or the reason of `signal`.
 */
export class LogClient implements LogReader {
  readonly origin: string
  readonly #options: LogClientOptions
  readonly #key: VerifierKey
  readonly #url: URL
  readonly #token: string | undefined
  readonly #timeoutMs: number
  readonly #retry: RetryLimits
  readonly #fetch: Fetch

  constructor(options: LogClientOptions) {
    const { url, vkey, token, timeoutMs, retry, fetch } = options
    this.#options = options
    this.#key = parseVkey(vkey)
    checkIsEd25519(this.#key)
    this.origin = this.#key.name
    this.#url = baseUrl(url)
    this.#token = token
    this.#timeoutMs = timeoutMs ?? defaultTimeoutMs
    this.#retry = { ...defaultRetryLimits, ...retry }
    // Browsers refuse a `fetch` that is called as somebody's method.
    this.#fetch = fetch ?? ((target, init) => globalThis.fetch(target, init))
  }

  /** The same, asking whoever keeps copies on the way for new ones. */
  pastCaches(): LogClient {
    const fetch: Fetch = (target, init) => this.#fetch(target, { ...init, ...reload })
    return new LogClient({ ...this.#options, fetch })
  }

  async readCheckpoint(signal?: AbortSignal): Promise<Uint8Array> {
    return (await this.get('checkpoint', noteBytesMax, signal)).bytes
  }

  /** The tile of this width, cut from the full one where the server has no such partial tile (any more). */
  async readTile(level: number, index: number, width: number, signal?: AbortSignal): Promise<Uint8Array> {
    const read = async (slots: number): Promise<Uint8Array> => {
      const coord = { level, index, width: slots }
      const { bytes } = await this.get(formatTilePath(coord), hashBytes * slots, signal)
      unlessUnfit(() => checkTileLength(coord, bytes))
      return bytes
    }
    return this.#partialOrFull(width, read, (tile) => tile.slice(0, hashBytes * width))
  }

  async readEntryBundle(index: number, width: number, signal?: AbortSignal): Promise<Uint8Array> {
    const read = async (entries: number): Promise<Uint8Array> => {
      const path = formatBundlePath({ index, width: entries })
      return (await this.getAsReader(path, entries * (2 + bundleEntryBytesMax), signal)).bytes
    }
    return this.#partialOrFull(width, read, (bundle) => unlessUnfit(() => cutEntryBundle(bundle, width)))
  }

  /** The same for whoever knows no signals. */
  reader(signal: AbortSignal | undefined): LogReader {
    return {
      readCheckpoint: () => this.readCheckpoint(signal),
      readTile: (level, index, width) => this.readTile(level, index, width, signal),
      readEntryBundle: (index, width) => this.readEntryBundle(index, width, signal),
    }
  }

  /** The newest checkpoint, its signature checked. A signature that does not hold is a `Violation`. */
  async readSignedCheckpoint(signal?: AbortSignal): Promise<SignedCheckpoint> {
    return this.openCheckpoint(await this.readCheckpoint(signal))
  }

  /** A checkpoint of this log from anywhere; `CouldNotCheck` and `Violation` as above. */
  async openCheckpoint(note: Uint8Array): Promise<SignedCheckpoint> {
    try {
      const { checkpoint } = openCheckpoint(note, this.origin, [await this.verifierOf(note)])
      return { checkpoint, note: decodeUtf8(note) }
    } catch (error) {
      throw judge(error, new TextDecoder().decode(note))
    }
  }

  /** What checks the log's signature on this note, and on no other. */
  verifierOf(note: Uint8Array): Promise<NoteVerifier> {
    return verifierOfNote(this.#key, note)
  }

  /** What everybody may read. */
  get(path: string, bytesMax: number, signal?: AbortSignal, accept?: string): Promise<HttpAnswer> {
    const headers: Record<string, string> = accept === undefined ? {} : { accept }
    return this.#ask({ method: 'GET', path, headers, bytesMax }, signal)
  }

  /** What auditors may read. */
  getAsReader(path: string, bytesMax: number, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#ask({ method: 'GET', path, headers: this.#credentials(), bytesMax }, signal)
  }

  /** A request that is harmless to repeat, sent until it is answered. */
  post({ path, contentType, body, bytesMax }: Post, signal?: AbortSignal): Promise<HttpAnswer> {
    const headers = { 'content-type': contentType, ...this.#credentials() }
    return this.#ask({ method: 'POST', path, headers, body, bytesMax }, signal)
  }

  async #ask(request: HttpRequest, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    // A refusal says why in a few hundred bytes, even where the answer would be shorter.
    const roomy = { ...request, bytesMax: Math.max(request.bytesMax, answerBytesMin) }
    const attempt = (): Promise<HttpAnswer> => send(this.#fetch, this.#url, roomy, this.#timeoutMs, signal)
    const answer = await sendUntilAnswered(attempt, this.#retry, signal)
    if (answer.status === 200 || answer.status === 201) return answer
    throw refusalOf(answer)
  }

  async #partialOrFull(
    width: number,
    read: (width: number) => Promise<Uint8Array>,
    cut: (full: Uint8Array) => Uint8Array,
  ): Promise<Uint8Array> {
    try {
      return await read(width)
    } catch (error) {
      if (width === tileWidth || !(error instanceof Refused) || error.status !== 404) throw error
      return cut(await read(tileWidth))
    }
  }

  #credentials(): Readonly<Record<string, string>> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
  }
}

const answerBytesMin = 65_536

function baseUrl(text: string): URL {
  const url = new URL(text)
  if (!['http:', 'https:'].includes(url.protocol))
    throw new TypeError(`log URL: want http or https, got ${url.protocol}`)
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function refusalOf(answer: HttpAnswer): Refused {
  const { status } = answer
  const { code, detail, pointer, parameter } = problemOf(answer)
  const text = (textOf(answer) ?? '').slice(0, problemTextMax)
  return new Refused(status, code ?? `http-${status}`, detail ?? text, { pointer, parameter })
}
