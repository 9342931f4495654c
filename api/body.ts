import { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Context } from 'hono'
import { BudgetShare, type ByteBudget } from './byte-budget.ts'
import { decompress, readEncoding } from './decompress.ts'
import { headerOf } from './header.ts'
import { Problem } from './problem.ts'
import type { Env } from './server.ts'

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
    const body = await readBody(c, limits, share)
    share.settle()
    return await use(body, (bytes) => share.take(bytes))
  } finally {
    share.close()
  }
}

async function readBody(c: Context<Env>, limits: BodyLimits, share: BudgetShare): Promise<Uint8Array> {
  const { bytesMax } = limits
  const encoding = readEncoding(headerOf(c, 'content-encoding'))
  if (Number(headerOf(c, 'content-length') ?? 0) > bytesMax) throw tooLarge(bytesMax)
  // Read from Node's stream where there is one: the web stream around it costs half of the throughput.
  const incoming = c.env?.incoming
  const arrived =
    incoming === undefined
      ? await readWebBody(c, bytesMax)
      : isWhole(incoming)
        ? takeArrived(incoming, bytesMax, share)
        : await collectInTurn(incoming as Readable, bytesExpected(c, bytesMax, encoding !== undefined), limits, share)
  return encoding === undefined ? arrived : decompress(encoding, arrived, bytesMax, share)
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

/** Larger bodies are not read before there is room for them: their senders are slowed down instead of refused. */
const largeBytes = 65_536
/** A compressed body is reckoned with as so many times its size. */
const usualRatio = 8

/** What a body will take, by its own account; 0 where it gives none. */
function bytesExpected(c: Context<Env>, bytesMax: number, isPacked: boolean): number {
  const length = Number(headerOf(c, 'content-length') ?? 0)
  return isPacked ? Math.min(bytesMax, usualRatio * length) : length
}

async function collectInTurn(
  stream: Readable,
  bytes: number,
  { bytesMax, arrivalMs }: BodyLimits,
  share: BudgetShare,
): Promise<Uint8Array> {
  if (!(bytes > largeBytes)) return collect(stream, bytesMax, arrivalMs, share)
  const startedAt = performance.now()
  await share.takeAhead(bytes, arrivalMs / 2)
  return collect(stream, bytesMax, arrivalMs - (performance.now() - startedAt), share)
}

/** All chunks of a stream that has not ended. What comes after a failure is not read here: the server drains a little of it, or hangs up. */
function collect(stream: Readable, bytesMax: number, arrivalMs: number, share: BudgetShare): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
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
        chunks.push(chunk)
      } catch (refusal) {
        fail(refusal)
      }
    }
    const onEnd = (): void => {
      done()
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes))
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
