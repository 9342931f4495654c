import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Connections } from './connections.ts'

/** A request that is not begun yet. */
export type Arrived = readonly [request: IncomingMessage, response: ServerResponse]

/** Of answers that wait on a connection, before its next request is begun. */
const waitingBytesMax = 65_536
/** What an answer is reckoned with that is not made yet. */
const unmadeBytes = 16_384

/**
 * Holds requests back that were sent ahead of answers which nobody reads, or which are not made yet: 250 requests of 60
 * bytes would be 110 MB of answers. Four are made at the same time, where the answers are small.
 */
export class Pipelines {
  readonly #connections: Connections
  readonly #held = new Map<Duplex, Arrived[]>()
  readonly #released = new WeakSet<ServerResponse>()
  readonly #resume: (held: readonly Arrived[]) => void

  /** `resume` is given the requests of a connection, in order, when one of its answers has left. */
  constructor(connections: Connections, resume: (held: readonly Arrived[]) => void) {
    this.#connections = connections
    this.#resume = resume
  }

  /** Whether the request is held back; then it comes by `resume`. */
  holds(arrived: Arrived): boolean {
    const [{ socket }, response] = arrived
    if (this.#released.delete(response)) return false
    const held = this.#held.get(socket)
    if (held !== undefined) {
      held.push(arrived)
      return true
    }
    const oldest = this.#oldestInTheWay(socket, response)
    if (oldest === undefined) return false
    this.#waitFor(oldest, socket, [arrived])
    return true
  }

  /** That of a connection which is cut closes too; of those behind it nobody hears. */
  #waitFor(oldest: ServerResponse, socket: Duplex, held: Arrived[]): void {
    this.#held.set(socket, held)
    oldest.once('close', () => this.#release(socket, held))
  }

  /** As many as may begin: all of them again and again would be work for each pair. */
  #release(socket: Duplex, held: Arrived[]): void {
    const ready: Arrived[] = []
    let oldest: ServerResponse | undefined
    for (let next = held[0]; next !== undefined && !socket.destroyed; next = held[0]) {
      oldest = this.#oldestInTheWay(socket, next[1])
      if (oldest !== undefined) break
      held.shift()
      this.#released.add(next[1])
      ready.push(next)
    }
    if (oldest === undefined) this.#held.delete(socket)
    else this.#waitFor(oldest, socket, held)
    if (ready.length > 0) this.#resume(ready)
  }

  /** The oldest answer of the connection where too much waits before `response`. */
  #oldestInTheWay(socket: Duplex, response: ServerResponse): ServerResponse | undefined {
    const answers = this.#connections.answersOn(socket)
    let bytes = 0
    for (const answer of answers) {
      if (answer === response) break
      bytes += Math.max(answer.writableLength, answer.writableEnded ? 0 : unmadeBytes)
      if (bytes >= waitingBytesMax) return answers[0]
    }
    return undefined
  }
}
