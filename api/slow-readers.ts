import type { Server } from 'node:http'
import type { Socket } from 'node:net'

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
export function cutSlowReaders(http: Server, { checkMs, stalledMs }: ReaderTimes): void {
  const sockets = new Set<Socket>()
  http.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const check = (): void => {
    for (const socket of sockets) {
      if (socket.writableLength > 0 && socket.timeout !== stalledMs) socket.setTimeout(stalledMs)
    }
  }
  http.once('listening', () => {
    const timer = setInterval(check, checkMs).unref()
    http.once('close', () => clearInterval(timer))
  })
}
