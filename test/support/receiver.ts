/** A real HTTP listener that stands for a service outside: it remembers what it got, and answers as a test wants. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Received = {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A status, or what else may happen: no answer at all; the connection reset before or after the request was read. */
export type Reaction = number | 'hang' | 'reset-at-once' | 'reset-after-acting' | Words | Redirect | Busy
type Words = { readonly text: string }
type Redirect = { readonly location: string }
/** Seconds. */
type Busy = { readonly retryAfter: string }

export type Receiver = {
  readonly url: string
  readonly received: readonly Received[]
  /** What the next requests meet, one each; after them it is 200. */
  readonly meet: (...reactions: readonly Reaction[]) => void
  readonly close: () => Promise<void>
}

export async function openReceiver(path = '/'): Promise<Receiver> {
  const received: Received[] = []
  const coming: Reaction[] = []
  const server = createServer(async (request, response) => {
    const reaction = coming.shift() ?? 200
    if (reaction === 'reset-at-once') return request.socket.resetAndDestroy()
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const { method = '', url = '', headers } = request
    received.push({ method, path: url, headers, body })
    if (reaction === 'reset-after-acting') request.socket.resetAndDestroy()
    else if (typeof reaction === 'number') response.writeHead(reaction).end('words')
    else if (typeof reaction !== 'object') return
    else if ('location' in reaction) response.writeHead(307, reaction).end()
    else if ('retryAfter' in reaction) response.writeHead(429, { 'retry-after': reaction.retryAfter }).end()
    else response.writeHead(400).end(reaction.text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    received,
    meet: (...reactions) => coming.push(...reactions),
    close: async () => {
      server.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    },
  }
}
