import type { Context } from 'hono'
import { Unavailable } from '../src/log/incident.ts'
import type { Env } from './env.ts'
import { requestIdOf } from './request-id.ts'
import type { Server } from './server.ts'

/** One server-sent event (HTML 9.2.6). `id` is where a client that lost its connection goes on. */
export type ServerEvent = { readonly id: number; readonly event: string; readonly data: string | Uint8Array }

/** Some at a time: a chunk for each would cost more than what is in it. */
export type ServerEvents = AsyncGenerator<readonly ServerEvent[], void>

const heartbeatMs = 15_000
/** Between looks at whether a quiet stream may go on. */
const lookMs = 500
const retryMs = 2_000

/**
 * Answers with events until the client leaves or `events` ends, and it ends when the log stops: clients come again by
 * themselves, with `Last-Event-ID`. The next events are asked for when the last ones are on their way. A comment every
 * 15 s keeps proxies from closing the connection. It ends too where `mayGoOn` is false or rejects, which is asked before
 * each of them and twice a second. `takePlace` gives what is called when the stream has ended.
 */
export function answerEvents(
  { onUnexpected }: Server,
  c: Context<Env>,
  takePlace: () => () => void,
  events: (signal: AbortSignal) => ServerEvents,
  mayGoOn: () => Promise<boolean> = async () => true,
): Response {
  // Of an answer to HEAD nobody reads the body, nor ends it.
  if (c.req.method === 'HEAD') return c.body(null, 200, streamHeaders)
  const freePlace = takePlace()
  const left = new AbortController()
  const source = events(left.signal)
  let next: Promise<Next> | undefined
  const end = once(() => {
    freePlace()
    left.abort()
    // It gives back what it holds for the reader who left.
    source.return().catch(() => {})
  })
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(Buffer.from(`retry: ${retryMs}\n\n`)),
      pull: async (controller) => {
        next ??= source.next()
        const result = await orHeartbeat(next, mayGoOn).catch((error: unknown) => {
          if (!(error instanceof Unavailable)) onUnexpected(error, requestIdOf(c))
          return ended
        })
        if (result === undefined) return controller.enqueue(heartbeat)
        next = undefined
        if (!result.done) return controller.enqueue(Buffer.concat(result.value.flatMap(formatEvent)))
        end()
        controller.close()
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )
  c.req.raw.signal.addEventListener('abort', end, { once: true })
  return c.body(body, 200, streamHeaders)
}

const streamHeaders = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }
const heartbeat = Buffer.from(':\n\n')

type Next = IteratorResult<readonly ServerEvent[], void>
const ended: Next = { done: true, value: undefined }

/** The next event, the end where the stream may not go on, undefined where it is quiet. */
async function orHeartbeat(work: Promise<Next>, mayGoOn: () => Promise<boolean>): Promise<Next | undefined> {
  for (let quietMs = 0; quietMs < heartbeatMs; quietMs += lookMs) {
    const result = await within(lookMs, work)
    if (!(await mayGoOn())) return ended
    if (result !== undefined) return result
  }
  return undefined
}

async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function formatEvent({ id, event, data }: ServerEvent): readonly Uint8Array[] {
  const text = typeof data === 'string' ? Buffer.from(data) : data
  return [Buffer.from(`id: ${id}\nevent: ${event}\ndata: `), text, endOfEvent]
}

const endOfEvent = Buffer.from('\n\n')

function once(work: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) work()
    isDone = true
  }
}
