import { type OutsideAnswer, requestOutside } from '../outside-request.ts'
import { deliverMs, HookFailure } from './hook.ts'

/**
 * Posts JSON text; resolves when the answer is 2xx. `explain` may add what the answer's body says of a refusal; 410 is
 * final: the receiver is gone.
 */
export async function postAlarm(
  url: URL,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  explain: (answer: OutsideAnswer) => string = () => '',
): Promise<void> {
  const request = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body } as const
  const answer = await requestOutside(url, request, deliverMs, signal).catch((cause: Error) => {
    throw new HookFailure(cause.message, { cause })
  })
  if (answer.status >= 200 && answer.status < 300) return
  throw new HookFailure(`status ${answer.status}${explain(answer)}`, {
    isFinal: answer.status === 410,
    retryAfterMs: readRetryAfter(answer.headers.get('retry-after')),
  })
}

/** Seconds; dates are not understood, and need not be. */
function readRetryAfter(text: string | null): number | undefined {
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : undefined
}
