// One HTTP/1.1 connection that is kept, one request at a time. Node's own client costs several times as much, and the
// load generator shares the machine with what it measures.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type Answer = { readonly status: number; readonly body: Buffer }

type Asked = { readonly resolve: (answer: Answer) => void; readonly reject: (reason: Error) => void }

const headEnd = Buffer.from('\r\n\r\n')
const answerWithinMs = 30_000

export class Connection {
  readonly #socket: Socket
  #asked: Asked | undefined
  #received: Buffer[] = []
  #bytes = 0
  /** Bytes of the answer under way, once its head has come. */
  #wanted: number | undefined
  #bodyStart = 0
  #error: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setTimeout(answerWithinMs, () => socket.destroy(new Error(`no answer within ${answerWithinMs} ms`)))
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends a request, head and body, and resolves with the answer. Neither may be written until then. */
  ask(head: Uint8Array, body: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error)
      this.#asked = { resolve, reject }
      this.#socket.cork()
      this.#socket.write(head)
      this.#socket.write(body)
      this.#socket.uncork()
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#received.push(chunk)
    this.#bytes += chunk.length
    if (this.#wanted === undefined) this.#readHead()
    if (this.#wanted !== undefined && this.#bytes >= this.#wanted) this.#finish()
  }

  #readHead(): void {
    const bytes = this.#join()
    const end = bytes.indexOf(headEnd)
    if (end < 0) return
    const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString('latin1', 0, end))?.[1]
    if (length === undefined) this.#fail(new Error('an answer without Content-Length'))
    this.#bodyStart = end + headEnd.length
    this.#wanted = this.#bodyStart + Number(length)
  }

  #finish(): void {
    const bytes = this.#join()
    const answer = { status: Number(bytes.toString('latin1', 9, 12)), body: bytes.subarray(this.#bodyStart) }
    const asked = this.#asked
    this.#asked = undefined
    this.#received = []
    this.#bytes = 0
    this.#wanted = undefined
    asked?.resolve(answer)
  }

  #join(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received, this.#bytes)]
    return this.#received[0] ?? Buffer.alloc(0)
  }

  #fail(error: Error): void {
    this.#error ??= error
    this.#socket.destroy()
    this.#asked?.reject(this.#error)
    this.#asked = undefined
  }
}

/** The head of a POST whose body has `bodyBytes` bytes. */
export function postHead(path: string, type: string, token: string, bodyBytes: number): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    `Authorization: Bearer ${token}`,
    `Content-Type: ${type}`,
    `Content-Length: ${bodyBytes}`,
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

export function openConnections(port: number, count: number): Promise<Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(port)))
}
