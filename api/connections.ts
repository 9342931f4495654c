import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Server as TlsServer } from 'node:tls'

/**
 * The open connections of a server, and the answers that are under way on each. A request costs one entry in a list:
 * who asks sorts out those that have left since. (A listener and a Set for each request took 4 % of its time.)
 */
export class Connections {
  readonly #answers = new Map<Duplex, ServerResponse[]>()
  /** With TLS: connections as the system has them, from before their handshake on. */
  readonly #accepted = new Set<Socket>()

  /** Called before `http` listens. A connection with more than `answersMax` answers under way is destroyed. */
  constructor(http: Server, answersMax: number) {
    const hasTls = http instanceof TlsServer
    http.on(hasTls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#answers.set(socket, [])
      socket.once('close', () => this.#answers.delete(socket))
    })
    if (hasTls) http.on('connection', (socket: Socket) => keepUntilClosed(this.#accepted, socket))
    http.prependListener('request', ({ socket }, response: ServerResponse) => {
      const answers = this.answersOn(socket)
      // Nobody who reads the answers sends so many requests ahead of them.
      if (answers.push(response) > answersMax) socket.destroy()
    })
  }

  /** Those that carry requests. */
  sockets(): Iterable<Socket> {
    return this.#answers.keys() as Iterable<Socket>
  }

  /** False of a socket whose handshake is not done. */
  has(socket: Duplex): boolean {
    return this.#answers.has(socket)
  }

  /** Ends all of them, those in the middle of a handshake too. */
  cut(): void {
    for (const socket of this.sockets()) socket.destroy()
    for (const socket of this.#accepted) socket.destroy()
  }

  /** In the order of their requests. */
  answersOn(socket: Duplex): ServerResponse[] {
    const answers = this.#answers.get(socket) ?? []
    let left = 0
    while (left < answers.length && answers[left]?.closed) left++
    if (left > 0) answers.splice(0, left)
    return answers
  }
}

function keepUntilClosed(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
}
