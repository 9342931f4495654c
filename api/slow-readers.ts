import type { Server } from 'node:http'
import type { Connections } from './connections.ts'

export type ReaderTimes = {
  /** How often connections are looked at. */
  readonly checkMs: number
  /** A client that reads nothing of its answer for so long is cut. More than an answer may take: that is no stall. */
  readonly stalledMs: number
}

export const readerTimes: ReaderTimes = { checkMs: 5_000, stalledMs: 60_000 }

/**
 * Cuts connections whose clients do not read: they would hold their answers for ever. A client that reads however
 * slowly stays. One look at all connections now and then costs requests nothing; only those that have bytes waiting
 * get a time-out of their socket, which Node puts off as long as bytes leave, parts of a write too. What Node sets when
 * an answer is done takes its place.
 */
export function cutSlowReaders(http: Server, connections: Connections, { checkMs, stalledMs }: ReaderTimes): void {
  const check = (): void => {
    for (const socket of connections.sockets()) {
      if (socket.writableLength > 0 && socket.timeout !== stalledMs) socket.setTimeout(stalledMs)
    }
  }
  http.once('listening', () => {
    const timer = setInterval(check, checkMs).unref()
    http.once('close', () => clearInterval(timer))
  })
}
