// Requests to receivers outside whose URLs may be secrets: bounded in time, no redirect followed, no URL in an error.

/** What was answered; `bytes` is the beginning of the body, `text` is that in UTF-8. */
export type OutsideAnswer = {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  readonly text: string
}

export type OutsideRequest = {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Of what is answered so much is read; the beginning, for people, where it does not say. */
  readonly bytesMax?: number
}

const beginningBytes = 1_000

/**
 * Sends a request and reads the beginning of what is answered, all of it within `timeoutMs`. Whatever kept it from
 * being answered is an Error that says so without the URL; it may have arrived nevertheless. Redirects are answers.
 */
export async function requestOutside(
  url: URL,
  { method, headers = {}, body, bytesMax = beginningBytes }: OutsideRequest,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<OutsideAnswer> {
  const late = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      ...{ method, headers: { 'user-agent': 'dendrolog', ...headers }, redirect: 'manual' },
      ...{ signal: AbortSignal.any([signal, late]) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    })
    const bytes = await readBeginning(response, bytesMax)
    return { status: response.status, headers: response.headers, bytes, text: new TextDecoder().decode(bytes) }
  } catch (error) {
    if (signal.aborted) throw new Error('was stopped')
    throw new Error(late.aborted ? `no answer within ${timeoutMs} ms` : `no answer: ${reasonOf(error)}`)
  }
}

/** Of an answer that is longer, or does not end, no more is read. */
async function readBeginning({ body }: Response, bytesMax: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    chunks.push(chunk as Uint8Array)
    length += (chunk as Uint8Array).length
    if (length >= bytesMax) break
  }
  return Buffer.concat(chunks).subarray(0, bytesMax)
}

/** The code of what is behind Node's `fetch failed`; messages may quote the URL. */
function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
    if (first instanceof Error && 'code' in first && typeof first.code === 'string') return first.code
  }
  return 'it failed'
}
