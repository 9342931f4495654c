import { concatBytes, decodeUtf8 } from '../../tlog/bytes.ts'
import { CouldNotCheck } from './errors.ts'

/** `fetch`, or what stands in for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** One request; `path` is relative to the log's URL. */
export type HttpRequest = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** No answer may be longer; what is longer is not read. */
  readonly bytesMax: number
}

export type HttpAnswer = { readonly status: number; readonly headers: Headers; readonly bytes: Uint8Array }

/**
 * Sends one request and reads its whole answer, within `timeoutMs`. Rejects with `answer-too-large`, with the reason of
 * `signal`, or with what the network or the time-out says. A redirect is an answer: it would take the token elsewhere.
 */
export async function send(
  fetch: Fetch,
  base: URL,
  request: HttpRequest,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<HttpAnswer> {
  const { method, path, headers, body, bytesMax } = request
  return withDeadline(timeoutMs, signal, async (deadline) => {
    const init: RequestInit = { method, headers, redirect: 'manual', credentials: 'omit', signal: deadline }
    const response = await fetch(new URL(path, base).href, body === undefined ? init : { ...init, body })
    return { status: response.status, headers: response.headers, bytes: await readBody(response, bytesMax) }
  })
}

/** The text of an answer; undefined where it is not UTF-8. */
export function textOf({ bytes }: HttpAnswer): string | undefined {
  try {
    return decodeUtf8(bytes)
  } catch {
    return undefined
  }
}

async function readBody(response: Response, bytesMax: number): Promise<Uint8Array> {
  const reader = response.body?.getReader()
  if (reader === undefined) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return concatBytes(...chunks)
    bytes += value.length
    if (bytes > bytesMax) {
      await reader.cancel().catch(() => {})
      throw new CouldNotCheck('answer-too-large', `an answer of more than ${bytesMax} bytes`)
    }
    chunks.push(value)
  }
}

/** Not AbortSignal.any() of a timeout(): the collector may take such a signal before it fires (nodejs/node 57736). */
async function withDeadline<T>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  const stop = (): void => controller.abort(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await run(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}
