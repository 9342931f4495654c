// Requests to receivers outside whose URLs may be secrets: bounded in time, no redirect followed, no URL in an error.

/** What was answered; `text` is the beginning of the body. */
export type OutsideAnswer = { readonly status: number; readonly headers: Headers; readonly text: string }

export type OutsideRequest = {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Of what is answered so much is read; the beginning, for people, where it does not say. */
  readonly charactersMax?: number
}

const beginningCharacters = 1_000

/**
 * Sends a request and reads the beginning of what is answered, all of it within `timeoutMs`. Whatever kept it from
 * being answered is an Error that says so without the URL; it may have arrived nevertheless. Redirects are answers.
 */
export async function requestOutside(
  url: URL,
  { method, headers = {}, body, charactersMax = beginningCharacters }: OutsideRequest,
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
    return { status: response.status, headers: response.headers, text: await readBeginning(response, charactersMax) }
  } catch (error) {
    if (signal.aborted) throw new Error('was stopped')
    throw new Error(late.aborted ? `no answer within ${timeoutMs} ms` : `no answer: ${reasonOf(error)}`)
  }
}

/** What stands in an answer's body is for people: its beginning does, and a receiver need not end it. */
async function readBeginning({ body }: Response, charactersMax: number): Promise<string> {
  if (body === null) return ''
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) {
    text += decoder.decode(chunk as Uint8Array, { stream: true })
    if (text.length >= charactersMax) break
  }
  return text.slice(0, charactersMax)
}

/** The code of what is behind Node's `fetch failed`; messages may quote the URL. */
function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
    if (first instanceof Error && 'code' in first && typeof first.code === 'string') return first.code
  }
  return 'it failed'
}
