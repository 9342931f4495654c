/** A client that sends any bytes, and takes what comes back apart by RFC 9112 alone. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** One answer as it came over the wire; names of headers in lower case. */
export type WireAnswer = {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export type Exchange = {
  readonly answers: readonly WireAnswer[]
  /** Whether the server hung up. */
  readonly ended: boolean
  /** What came behind the last whole answer. */
  readonly rest: string
}

export type ExchangeOptions = {
  /** Stops reading after so many answers; otherwise when the server hangs up. */
  readonly count?: number
  /** Stops reading after this time. */
  readonly limitMs?: number
  /** Says that nothing more is sent. */
  readonly half?: boolean
}

/** An open connection whose errors nobody has to handle. */
export async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Sends the parts one after the other over a connection of its own, and reads what comes back. */
export async function exchange(
  port: number,
  parts: string | Uint8Array | readonly (string | Uint8Array)[],
  { count = 1, limitMs = 15_000, half = false }: ExchangeOptions = {},
): Promise<Exchange> {
  const socket = await open(port)
  for (const part of typeof parts === 'string' || parts instanceof Uint8Array ? [parts] : parts) {
    if (socket.writable) socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part)
  }
  if (half) socket.end()
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0)
    const finish = (ended: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ ...takeAnswers(bytes), ended })
    }
    const timer = setTimeout(finish, limitMs, false)
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (takeAnswers(bytes).answers.length >= count) finish(false)
    })
    socket.once('end', () => finish(true)).once('close', () => finish(true))
  })
}

/** A request with these fields and nothing that was not asked for but Host. */
export function request(line: string, fields: Readonly<Record<string, string>> = {}, body = ''): string {
  const all = { host: 'localhost', ...fields, ...(body === '' ? {} : { 'content-length': String(body.length) }) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

function takeAnswers(bytes: Buffer): Pick<Exchange, 'answers' | 'rest'> {
  const answers: WireAnswer[] = []
  let rest = bytes
  for (;;) {
    const headEnd = rest.indexOf('\r\n\r\n')
    if (headEnd < 0) break
    const [line = '', ...lines] = rest.subarray(0, headEnd).toString('latin1').split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1])
    const headers = new Map(lines.map((each) => splitField(each)))
    const taken = takeBody(rest.subarray(headEnd + 4), headers)
    if (taken === undefined) break
    if (status !== 100) answers.push({ status, headers, body: taken.body.toString('utf8') })
    rest = taken.rest
  }
  return { answers, rest: rest.toString('latin1') }
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
}

type Taken = { readonly body: Buffer; readonly rest: Buffer }

/** Undefined where the body has not arrived yet. */
function takeBody(bytes: Buffer, headers: ReadonlyMap<string, string>): Taken | undefined {
  if (headers.get('transfer-encoding') === 'chunked') return takeChunks(bytes)
  const length = Number(headers.get('content-length') ?? 0)
  return bytes.length < length ? undefined : { body: bytes.subarray(0, length), rest: bytes.subarray(length) }
}

function takeChunks(bytes: Buffer): Taken | undefined {
  const pieces: Buffer[] = []
  for (let rest = bytes; ; ) {
    const lineEnd = rest.indexOf('\r\n')
    const length = Number.parseInt(rest.subarray(0, lineEnd).toString('latin1'), 16)
    if (lineEnd < 0 || rest.length < lineEnd + 2 + length + 2) return undefined
    if (length === 0) return { body: Buffer.concat(pieces), rest: rest.subarray(lineEnd + 4) }
    pieces.push(rest.subarray(lineEnd + 2, lineEnd + 2 + length))
    rest = rest.subarray(lineEnd + 2 + length + 2)
  }
}
