import { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Context } from 'hono'
import { SpareBuffers } from '../src/ops/spare-buffers.ts'
import type { Sender } from './authenticate.ts'
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
  /** After this time a body must have come faster than a KiB a second. */
  readonly paceMs: number
  /** Of all requests. */
  readonly budget: ByteBudget
}

/**
 * Answers with what `use` makes of the request's body, decompressed; what takes more room than bodies usually need is
 * charged until then. All bodies of a `sender` get half of the budget. Throws what `sender` does, and `body-too-large`
 * as soon as more than `bytesMax` arrived or came out, `body-timeout`, `body-incomplete`, `unsupported-encoding`,
 * `malformed-encoding`.
 */
export async function withBody(
  c: Context<Env>,
  limits: BodyLimits,
  sender: Sender,
  use: (body: Uint8Array, charge: (bytes: number) => void) => Promise<Response>,
): Promise<Response> {
  const share = new BudgetShare(limits.budget, sender.identity)
  try {
    const cameAtOnce = isWhole(c.env?.incoming)
    const { body, buffer } = await readBody(c, limits, share)
    share.settle()
    // A body may take half a minute: who lost his token meanwhile writes nothing.
    if (!cameAtOnce) await sender.checkStill()
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

function isWhole(incoming: object | undefined): incoming is IncomingMessage {
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

/** Room for so much is taken at once, then as much again as has come: what is announced and does not come takes none. */
const firstRoomBytes = 262_144

/** What a body will take, by its own account. */
type Announced = { readonly length: number; readonly isPacked: boolean }

async function collectInTurn(
  stream: Readable,
  { length, isPacked }: Announced,
  limits: BodyLimits,
  share: BudgetShare,
): Promise<Body> {
  const { bytesMax, arrivalMs } = limits
  const roomFor = (bytes: number): number => (isPacked ? Math.min(bytesMax, usualRatio * bytes) : bytes)
  if (!(roomFor(length) > largeBytes)) return collect(stream, gatherPieces(), limits, share)
  const startedAt = performance.now()
  const firstBytes = Math.min(length, firstRoomBytes)
  await share.takeAhead(roomFor(firstBytes), arrivalMs / 2)
  const gathering = gatherInto(length, firstBytes, (from, to) =>
    share.takeAhead(roomFor(to) - roomFor(from), arrivalMs / 2),
  )
  const restMs = arrivalMs - (performance.now() - startedAt)
  return collect(stream, gathering, { ...limits, arrivalMs: restMs }, share)
}

/** Where the chunks of a body go. */
type Gathering = {
  /** Resolves when there is room for another chunk; undefined where there is. */
  readonly grow: (bytes: number) => Promise<void> | undefined
  readonly add: (chunk: Buffer) => void
  readonly body: () => Body
}

/** For bodies that are small, or do not say how long they are. */
function gatherPieces(): Gathering {
  const pieces: Buffer[] = []
  return {
    grow: () => undefined,
    add: (chunk) => pieces.push(chunk),
    body: () => ({ body: pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces) }),
  }
}

/** For those of an announced length, which Node's parser keeps them to. There is room for `firstBytes`. */
function gatherInto(
  lengthMax: number,
  firstBytes: number,
  takeRoom: (from: number, to: number) => Promise<void>,
): Gathering {
  let buffer = spares.take(firstBytes)
  let [length, room] = [0, firstBytes]
  const grow = async (bytes: number): Promise<void> => {
    const larger = Math.min(lengthMax, Math.max(2 * room, length + bytes))
    await takeRoom(room, larger)
    room = larger
    if (buffer.length >= room) return
    const outgrown = buffer
    buffer = spares.take(room)
    buffer.set(outgrown.subarray(0, length))
    spares.give(outgrown)
  }
  return {
    grow: (bytes) => (length + bytes <= room ? undefined : grow(bytes)),
    add: (chunk) => {
      buffer.set(chunk, length)
      length += chunk.length
    },
    body: () => ({ body: buffer.subarray(0, length), buffer }),
  }
}

const bytesPerSecondMin = 1_024
const lookMs = 1_000

/** All chunks of a stream that has not ended. What comes after a failure is not read here: the server drains a little of it, or hangs up. */
function collect(
  stream: Readable,
  gathering: Gathering,
  { bytesMax, arrivalMs, paceMs }: BodyLimits,
  share: BudgetShare,
): Promise<Body> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    let bytes = 0
    let waitedMs = 0
    const look = (): void => {
      const ms = performance.now() - startedAt
      // Where it is we who have no room, the sender cannot be faster.
      const isSlow = ms - waitedMs >= paceMs && bytes < ((ms - waitedMs) / 1_000) * bytesPerSecondMin
      if (ms >= arrivalMs) fail(tooSlow(`did not arrive within ${arrivalMs / 1_000} s`))
      else if (isSlow && !stream.isPaused()) fail(tooSlow(`came with less than ${bytesPerSecondMin} bytes a second`))
      else timer = setTimeout(look, Math.min(lookMs, arrivalMs - ms))
    }
    let timer = setTimeout(look, Math.min(paceMs, arrivalMs))
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
    const add = (chunk: Buffer): void => {
      try {
        share.take(chunk.length)
        gathering.add(chunk)
      } catch (refusal) {
        fail(refusal)
      }
    }
    const addLater = (chunk: Buffer, growing: Promise<void>): void => {
      const pausedAt = performance.now()
      stream.pause()
      growing.then(() => {
        waitedMs += performance.now() - pausedAt
        add(chunk)
        stream.resume()
      }, fail)
    }
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      const growing = bytes > bytesMax ? undefined : gathering.grow(chunk.length)
      if (bytes > bytesMax) fail(tooLarge(bytesMax))
      else if (growing === undefined) add(chunk)
      else addLater(chunk, growing)
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
function tooSlow(what: string): Problem {
  return new Problem('body-timeout', `the body ${what}`, { retryAfterSeconds: 1 })
}

function tooLarge(bytesMax: number): Problem {
  return new Problem('body-too-large', `the body has more than ${bytesMax} bytes`)
}
