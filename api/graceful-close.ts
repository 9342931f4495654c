import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { Connections } from './connections.ts'

/**
 * Takes no new connections, answers what is under way, and resolves when every connection is closed. Those that are
 * still open 3 s after `answered` settled, idle or in the middle of an upload, are cut.
 */
export type GracefulClose = (answered: Promise<unknown>) => Promise<void>

const lingerMs = 3_000

/**
 * How `http` is to be closed. Called before it listens: Node closes connections only where they are idle, so a client
 * that keeps its connection busy would be refused on it for ever unless an answer says that it closes.
 */
export function prepareClose(http: Server, connections: Connections): GracefulClose {
  let isClosing = false
  http.prependListener('request', (_request, response: ServerResponse) => {
    if (isClosing) sayClose(response)
  })
  return async (answered) => {
    isClosing = true
    for (const socket of connections.sockets()) connections.answersOn(socket).forEach(sayClose)
    const closed = once(http, 'close')
    http.close()
    await Promise.allSettled([answered])
    const timer = setTimeout(() => connections.cut(), lingerMs)
    await closed
    clearTimeout(timer)
  }
}

function sayClose(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
}
