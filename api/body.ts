import { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Context } from 'hono'
import { SpareBuffers } from '../src/ops/spare-buffers.ts'
import { BudgetShare, type ByteBudget } from './byte-budget.ts'
import { decompress, readEncoding } from './decompress.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'

export type BodyLimits = {
  /** As it arrives, and decompressed. */
  readonly bytesMax: number
  /** The body must have arrived after this time; shippers give up after 30 s. */
  readonly arrivalMs: number
  /** Of all requests. */
  readonly budget: ByteBudget
}

/**
 * Answers with what `use` makes of the request's body, decompressed; what takes more room than bodies usually need is
 * charged until then. Throws `body-too-large` as soon as more than
 * `bytesMax` arrived or came out, `body-timeout`, `body-incomplete`, `unsupported-encoding`, `malformed-encoding`.
 */
export async function withBody(
  c: Context<Env>,
  limits: BodyLimits,
  use: (body: Uint8Array, charge: (bytes: number) => void) => Promise<Response>,
): Promise<Response> {
  const share = new BudgetShare(limits.budget)
  try {
    const { body, buffer } = await readBody(c, limits, share)
    share.settle()
    const response = await use(body, (bytes) => share.take(bytes))
    // After a failure somebody may still read it: a time-out ends the waiting, not the work.
    if (buffer !== undefined) spares.give(buffer)
    return response
  } finally {
    share.close()
  }
}

/** A body, and the buffer of ours that it lies in. */
type Body = { readonly body: Uint8Array; readonly buffer?: Buffer }

async function readBody(c: Context<Env>, limits: BodyLimits, share: BudgetShare): Promise<Body> {
  const { bytesMax } = limits
  const encoding = readEncoding(headerOf(c, 'content-encoding'))
  const length = Number(headerOf(c, 'content-length') ?? 0)
  if (length > bytesMax) throw tooLarge(bytesMax)
  // Read from Node's stream where there is one: the web stream around it costs half of the throughput.
  const incoming = c.env?.incoming
  const arrived =
    incoming === undefined
      ? { body: await readWebBody(c, bytesMax) }
      : isWhole(incoming)
        ? { body: takeArrived(incoming, bytesMax, share) }
        : await collectInTurn(incoming as Readable, { length, isPacked: encoding !== undefined }, limits, share)
  if (encoding === undefined) return arrived
  return { ...arrived, body: await decompress(encoding, arrived.body, bytesMax, share) }
}

async function readWebBody(c: Context<Env>, bytesMax: number): Promise<Uint8Array> {
  const body = new Uint8Array(await c.req.arrayBuffer())
  if (body.length > bytesMax) throw tooLarge(bytesMax)
  return body
}

const nothing = new Uint8Array(0)

function isWhole(incoming: object): incoming is IncomingMessage {
  return incoming instanceof IncomingMessage && incoming.complete
}

function takeArrived(incoming: IncomingMessage, bytesMax: number, share: BudgetShare): Uint8Array {
  const bytes = incoming.readableLength
  if (bytes > bytesMax) throw tooLarge(bytesMax)
  share.take(bytes)
  return (incoming.read() as Buffer | null) ?? nothing
}

/** Of 16 connections that send 1,000 ordinary events at a time. */
const sparesMax = 16_777_216
const spares = new SpareBuffers(sparesMax)

/** Larger bodies are not read before there is room for them: their senders are slowed down instead of refused. */
const largeBytes = 65_536
/** A compressed body is reckoned with as so many times its size. */
const usualRatio = 8

/** What a body will take, by its own account. */
type Announced = { readonly length: number; readonly isPacked: boolean }

async function collectInTurn(
  stream: Readable,
  { length, isPacked }: Announced,
  { bytesMax, arrivalMs }: BodyLimits,
  share: BudgetShare,
): Promise<Body> {
  const bytes = isPacked ? Math.min(bytesMax, usualRatio * length) : length
  if (!(bytes > largeBytes)) return collect(stream, gatherPieces(), bytesMax, arrivalMs, share)
  const startedAt = performance.now()
  await share.takeAhead(bytes, arrivalMs / 2)
  const restMs = arrivalMs - (performance.now() - startedAt)
  return collect(stream, gatherInto(spares.take(length)), bytesMax, restMs, share)
}

/** Where the chunks of a body go. */
type Gathering = { readonly add: (chunk: Buffer) => void; readonly body: () => Body }

/** For bodies that are small, or do not say how long they are. */
function gatherPieces(): Gathering {
  const pieces: Buffer[] = []
  return {
    add: (chunk) => pieces.push(chunk),
    body: () => ({ body: pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces) }),
  }
}

/** For those of an announced length, which Node's parser keeps them to. */
function gatherInto(buffer: Buffer): Gathering {
  let length = 0
  return {
    add: (chunk) => {
      buffer.set(chunk, length)
      length += chunk.length
    },
    body: () => ({ body: buffer.subarray(0, length), buffer }),
  }
}

/** All chunks of a stream that has not ended. What comes after a failure is not read here: the server drains a little of it, or hangs up. */
function collect(
  stream: Readable,
  gathering: Gathering,
  bytesMax: number,
  arrivalMs: number,
  share: BudgetShare,
): Promise<Body> {
  return new Promise((resolve, reject) => {
    let bytes = 0
    const timer = setTimeout(() => fail(tooSlow(arrivalMs)), arrivalMs)
    const done = (): void => {
      clearTimeout(timer)
      stream.off('data', onData).off('end', onEnd).off('error', onClose).off('close', onClose)
    }
    const fail = (error: unknown): void => {
      done()
      // An aborted request reports its error once more.
      stream.on('error', () => {})
      stream.pause()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      try {
        if (bytes > bytesMax) throw tooLarge(bytesMax)
        share.take(chunk.length)
        gathering.add(chunk)
      } catch (refusal) {
        fail(refusal)
      }
    }
    const onEnd = (): void => {
      done()
      resolve(gathering.body())
    }
    const onClose = (): void => fail(new Problem('body-incomplete', 'the connection closed within the body'))
    if (stream.destroyed) onClose()
    else stream.on('data', onData).on('end', onEnd).on('error', onClose).on('close', onClose)
  })
}

// No `connection: close` here: Node would close at once, and the reset because of bytes that nobody read would overtake
// the answer. The listener goes on to read for half a second, and hangs up then.
function tooSlow(arrivalMs: number): Problem {
  const detail = `the body did not arrive within ${arrivalMs / 1_000} s`
  return new Problem('body-timeout', detail, { retryAfterSeconds: 1 })
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body-too-large', `the body has more than ${bytesMax} bytes`)
}
