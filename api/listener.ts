import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { Connections } from './connections.ts'
import type { Env } from './env.ts'
import { type GracefulClose, prepareClose } from './graceful-close.ts'
import { type Arrived, Pipelines } from './pipelines.ts'
import { formatProblem, Problem, type ProblemAnswer } from './problem.ts'
import { headerFieldsMax, problemOfHead } from './request-head.ts'
import { cutSlowReaders, type ReaderTimes, readerTimes } from './slow-readers.ts'
import { type TlsPair, tlsOptions } from './tls.ts'

/**
 * Bounds of a connection. Headers must arrive in 10 s; the whole request in 40 s, after the 25 s that a body gets.
 * An idle connection is kept longer than load balancers keep theirs (60 s), so that they never write into a closed one.
 * How many requests a connection carries is not bounded: shippers keep one for days, and losing it costs them a retry.
 */
const bounds = {
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 40_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
  // We ask for it ourselves: Node's own answer is no problem document.
  requireHostHeader: false,
} as const
const connectionsMax = 16_384
const pipelinedMax = 256
const lingerMs = 500
/** Measured: 10 and 25 ms helped half as much. */
const acceptMaxMs = 60

/** A server for the app, not yet listening, and how it is closed. */
export type HttpServer = { readonly http: Server; readonly close: GracefulClose }

/** With a pair it speaks HTTPS. What never becomes a request is answered by a problem too. */
export function createHttpServer(
  app: Hono<Env>,
  times: ReaderTimes & { readonly handshakeMs?: number } = readerTimes,
  pair?: TlsPair,
): HttpServer {
  const listener = getRequestListener(app.fetch, { errorHandler: () => responseOf(malformedRequest) })
  const http =
    pair === undefined ? createServer(bounds) : createTlsServer({ ...bounds, ...tlsOptions(pair, times.handshakeMs) })
  http.maxConnections = connectionsMax
  // Node drops what is above its maximum in silence: one more than we take shows that there were more.
  http.maxHeadersCount = headerFieldsMax + 1
  const connections = new Connections(http, pipelinedMax)
  http.on('request', afterThisTurn(withPlainHead(listener), acceptsIn(http), connections))
  http.on('checkExpectation', (_, response: ServerResponse) => answerProblem(response, unmetExpectation))
  http.on('connect', (_, socket) => endWith(socket, noTunnel))
  http.on('clientError', (error, socket) => {
    // No handshake, or plain HTTP where TLS is spoken: there is no way to say anything.
    if (!connections.has(socket)) socket.destroy()
    else answerClientError(error, socket, connections.answersOn(socket))
  })
  cutSlowReaders(http, connections, times)
  return { http, close: prepareClose(http, connections) }
}

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown

/**
 * Node reports a request when its headers are parsed, although most bodies came in the same packet. Handled at the end
 * of the turn, they are there: nobody has to listen for their pieces (a tenth of a request's time).
 *
 * A turn accepts one connection (libuv since 1.45). Of 2,048 clients that connect at once, the last ones waited for 0.9 s,
 * since the turns were filled with the requests of the first: while connections come, requests wait a little.
 *
 * Who pipelines gets one answer a turn: of 50 connections with 200 requests each the others waited for all of them. What
 * is sent ahead of answers that nobody reads is not begun.
 */
function afterThisTurn(listener: Listener, accepted: () => number, connections: Connections): Listener {
  const arrived: Arrived[] = []
  let acceptedBefore = 0
  let waitsUntil = 0
  const handle = (): void => {
    const count = accepted()
    if (count !== acceptedBefore && performance.now() < waitsUntil) {
      acceptedBefore = count
      setImmediate(handle)
      return
    }
    const later: Arrived[] = []
    const handled = new Set<Duplex>()
    for (const each of arrived.splice(0)) {
      const [request, response] = each
      const { socket } = request
      // Nobody is there to be answered.
      if (socket.destroyed) continue
      if (handled.has(socket)) {
        later.push(each)
        continue
      }
      handled.add(socket)
      if (pipelines.holds(each)) continue
      addHost(request)
      listener(request, response)
    }
    if (later.length > 0) {
      arrived.unshift(...later)
      setImmediate(handle)
    }
  }
  const schedule = (): void => {
    acceptedBefore = accepted() - 1
    waitsUntil = performance.now() + acceptMaxMs
    setImmediate(handle)
  }
  // They came before all that is still to be handled of their connection.
  const pipelines = new Pipelines(connections, (held) => {
    if (arrived.unshift(...held) === held.length) schedule()
  })
  return (request, response) => {
    if (arrived.push([request, response]) === 1) schedule()
  }
}

function withPlainHead(listener: Listener): Listener {
  return (request, response) => {
    const problem = problemOfHead(request)
    if (problem === undefined) return listener(request, response)
    request.resume()
    answerProblem(response, problem)
  }
}

/** How many connections the server has accepted so far. */
function acceptsIn(http: Server): () => number {
  let accepted = 0
  http.on('connection', () => {
    accepted++
  })
  return () => accepted
}

/** HTTP/1.0 has no Host; probes of load balancers still speak it. */
function addHost(request: IncomingMessage): void {
  if (request.httpVersionMinor === 0) request.headers.host ??= 'localhost'
}

const malformedRequest = new Problem('malformed-request', 'this is not an HTTP request with a usable Host and path')
const noTunnel = new Problem('malformed-request', 'CONNECT: this is no proxy')
const unmetExpectation = new Problem('expectation-failed', 'Expect: only 100-continue can be met')

function answerProblem(response: ServerResponse, problem: Problem): void {
  const { status, headers, body } = formatProblem(problem)
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' }).end(body)
}

function endWith(socket: Duplex, problem: Problem): void {
  socket.on('error', () => {})
  // Not at once: a reset because of bytes that nobody read would overtake the answer.
  const hangUp = (): unknown => setTimeout(() => socket.destroy(), lingerMs).unref()
  if (socket.writable) socket.end(rawAnswer(formatProblem(problem)), 'latin1', hangUp)
}

// What follows a whole request is not its fault: its answer goes out first. Where the body of a request is broken, it
// can have no other answer than this one.
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex, underWay: readonly ServerResponse[]): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const finish = (): void => endWith(socket, problemOfClientError(error.code))
  const last = underWay.at(-1)
  socket.pause()
  if (last === undefined) finish()
  else if (last.req.complete) last.once('close', finish)
  else if (underWay.length === 1) finish()
  else socket.destroy()
}

function problemOfClientError(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Problem('headers-too-large', `path and headers may have ${bounds.maxHeaderSize} bytes together`)
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Problem('request-timeout', 'the request did not arrive in time')
  return malformedRequest
}

function rawAnswer({ status, headers, body }: ProblemAnswer): string {
  const fields = { ...headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`
}

function responseOf(problem: Problem): Response {
  const { status, headers, body } = formatProblem(problem)
  return new Response(body, { status, headers })
}
