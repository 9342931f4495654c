import type { Context, Hono } from 'hono'
import { type PublishedCheckpoint, servedNote } from '../../src/log/cosigned.ts'
import { entryJson } from '../../src/log/entry-json.ts'
import { Unavailable } from '../../src/log/incident.ts'
import { countThatFits, readPublishedEntries } from '../../src/log/published-entries.ts'
import { isOutage } from '../../src/store/outage.ts'
import { formatBase64 } from '../../tlog/bytes.ts'
import { answerReadOf, publishedLog, readersOf, readFactor, requireReader } from '../answer-read.ts'
import { holdsStill } from '../authenticate.ts'
import { BudgetShare } from '../byte-budget.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { answerEvents, type ServerEvent, type ServerEvents } from '../event-stream.ts'
import { headerOf } from '../header.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import { decimal, malformed, optional, readQuery, withDefault } from '../parameters.ts'
import { peerAddress } from '../record-context.ts'
import { base64, base64Hash, checkpointNote, integer, listOf, named, object, orNull, text } from '../schema.ts'
import type { Server } from '../server.ts'
import { StreamPlaces } from '../stream-places.ts'
import { Turns } from '../turns.ts'

const checkpointsDefault = 100
const checkpointsMax = 1_000
/** A checkpoint as row, value and JSON; of the last some 500 bytes. */
const checkpointReadBytes: number = readFactor * 512
/** Entries that are read at once for a stream. */
const entriesAtOnce = 256
/** Bytes of their payloads, where it is more than one. */
const pageBytesMax = 262_144
/** 256 streams that began at the start of a log left others 12 answers/s of 1,300, for as long as they were open and after. */
const restBetweenPages = 3

/**
 * The history of checkpoints, new ones as they are published, and new entries for auditors. Streams are server-sent
 * events: `Last-Event-ID`, or `after` where a client has none yet, says what it has already.
 */
export function routeStreams(app: Hono<Env>, server: Server): void {
  const turns = new Turns(restBetweenPages)
  const pageTurns = new Turns(restBetweenPages)
  const [checkpointPlaces, entryPlaces] = [new StreamPlaces(), new StreamPlaces()]
  openToBrowsers(app, '/v1/checkpoints')
  openToBrowsers(app, '/v1/checkpoints/stream')
  app.get(
    '/v1/checkpoints',
    describe(history, (c) => answerCheckpoints(server, pageTurns, c)),
  )
  app.get(
    '/v1/checkpoints/stream',
    describe(checkpointStream, (c) => streamCheckpoints(server, checkpointPlaces, c)),
  )
  if (server.publicEntries) openToBrowsers(app, '/v1/entries/stream')
  const entryTail = { ...entryStream, who: readersOf(server, 'entries:stream') }
  app.get(
    '/v1/entries/stream',
    describe(entryTail, (c) => streamEntries(server, turns, entryPlaces, c)),
  )
}

const historyQuery = {
  after: optional(decimal(), 'Number of the last checkpoint that is known'),
  limit: withDefault(decimal(1, checkpointsMax), checkpointsDefault, 'Checkpoints of a page'),
}
const resume = { 'Last-Event-ID': optional(decimal(), 'The last event that came; counts before `after`') }
const checkpointStreamQuery = {
  after: optional(decimal(), 'Number of a checkpoint; without it the newest comes first'),
}
const entryStreamQuery = {
  after: optional(decimal(), 'Sequence number; without it only what is published from now on'),
}

const storedCheckpoint = named(
  'Checkpoint',
  object({
    number: integer(),
    treeSize: integer(),
    root: base64Hash,
    timestamp: { ...integer(), description: 'Milliseconds, as in the STH' },
    note: checkpointNote,
    treeHeadSignature: { ...base64, description: 'DigitallySigned (RFC 6962 3.5)' },
  }),
)

const history: Operation = {
  id: 'listCheckpoints',
  summary: 'The history of checkpoints, by number',
  who: 'everybody',
  query: historyQuery,
  answers: {
    200: {
      doc: '`nextCursor` is the `after` of the next page, null where there is none yet',
      content: jsonOrCbor(
        object({ checkpoints: listOf(storedCheckpoint, checkpointsMax), nextCursor: orNull(integer()) }),
      ),
    },
  },
}

const events = { 'text/event-stream': text }

const checkpointStream: Operation = {
  id: 'streamCheckpoints',
  summary: 'Checkpoints as they are published (server-sent events)',
  who: 'everybody',
  query: checkpointStreamQuery,
  headers: resume,
  answers: { 200: { doc: 'Events `checkpoint`; the id is the number', content: events } },
}

const entryStream: Omit<Operation, 'who'> = {
  id: 'streamEntries',
  summary: 'Entries as they are published (server-sent events)',
  query: entryStreamQuery,
  headers: resume,
  answers: { 200: { doc: 'Events `entry`; the id is the sequence number', content: events } },
}

async function streamCheckpoints(server: Server, places: StreamPlaces, c: Context<Env>): Promise<Response> {
  const query = readQuery(c, checkpointStreamQuery)
  const what = "the newest checkpoint's number"
  const after = await readAfter(server, c, query.after, ({ number }) => number, what)
  const first = after ?? server.log.published.number - 1
  const takePlace = (): (() => void) => places.take(peerAddress(c))
  return answerEvents(server, c, takePlace, (signal) => checkpointEvents(server, first, signal))
}

async function streamEntries(server: Server, turns: Turns, places: StreamPlaces, c: Context<Env>): Promise<Response> {
  await requireReader(server, c, deadlineIn(server.times.answerMs), 'entries:stream')
  const query = readQuery(c, entryStreamQuery)
  const after = await readAfter(server, c, query.after, ({ treeSize }) => treeSize, 'the published size')
  const first = after ?? server.log.published.treeSize
  const mayGoOn = server.publicEntries ? undefined : () => holdsStill(server, c)
  const takePlace = (): (() => void) => places.take(server.publicEntries ? peerAddress(c) : undefined)
  return answerEvents(server, c, takePlace, (signal) => entryEvents(server, turns, first, signal), mayGoOn)
}

/** A large page takes its turn: 8 connections that asked for many of them left others 1 answer of 100. */
async function answerCheckpoints(server: Server, turns: Turns, c: Context<Env>): Promise<Response> {
  const { after = -1, limit } = readQuery(c, historyQuery)
  return answerReadOf(server.openBudget, c, deadlineIn(server.times.answerMs), 'no-store', async (share) => {
    const { number } = server.log.published
    share.take(checkpointReadBytes * Math.max(0, Math.min(limit, number - after)))
    const read = (): Promise<object> => readHistory(server, after, limit, number)
    return limit > checkpointsDefault ? turns.take(read) : read()
  })
}

async function readHistory(server: Server, after: number, limit: number, newest: number): Promise<object> {
  const checkpoints = await server.readCheckpoints(after, limit)
  const last = checkpoints.at(-1)
  const nextCursor = last === undefined || last.number >= newest ? null : last.number
  return { checkpoints: checkpoints.map(checkpointJson), nextCursor }
}

/** What was published meanwhile comes first, from the database; then each as it is published. */
async function* checkpointEvents(server: Server, after: number, signal: AbortSignal): ServerEvents {
  const { log, readCheckpoints } = server
  for (let last = after; !signal.aborted; ) {
    const newest = log.published
    if (newest.number <= last) {
      await log.checkpoints.nextAfter(last)
      continue
    }
    const missed = newest.number === last + 1 ? [newest] : await readCheckpoints(last, entriesAtOnce)
    if (missed.length > 0) yield missed.map(checkpointEvent)
    last = missed.at(-1)?.number ?? last
    // A database that has lost what was published is not asked again at once.
    if (missed.length === 0) await log.checkpoints.nextAfter(newest.number)
  }
}

function checkpointEvent(checkpoint: PublishedCheckpoint): ServerEvent {
  return { id: checkpoint.number, event: 'checkpoint', data: JSON.stringify(checkpointJson(checkpoint)) }
}

/** `timestamp` in milliseconds, as in the STH; `root` and `treeHeadSignature` (DigitallySigned) in base64. */
function checkpointJson(checkpoint: PublishedCheckpoint): object {
  const { number, treeSize, root, timestampMs, sthSignature } = checkpoint
  return {
    ...{ number, treeSize, root: formatBase64(root), timestamp: timestampMs, note: servedNote(checkpoint) },
    treeHeadSignature: formatBase64(sthSignature),
  }
}

/**
 * Entries under a checkpoint, in order, without gaps; `id` is the sequence number. A page of them is held while its
 * reader takes them: where there is no room for that the stream ends, and its client comes again later.
 */
async function* entryEvents(server: Server, turns: Turns, after: number, signal: AbortSignal): ServerEvents {
  const { log } = server
  for (let last = after; !signal.aborted; ) {
    const checkpoint = log.published
    if (checkpoint.treeSize <= last) {
      // Not for the entry itself: a client that left would leave somebody waiting for it.
      await log.checkpoints.nextAfter(checkpoint.number)
      continue
    }
    const share = new BudgetShare(server.readBudget)
    try {
      // Whoever left while they waited for their turn reads nothing any more.
      const page = await turns.take(async () => (signal.aborted ? [] : readPage(server, checkpoint, last, share)))
      if (page.length > 0) yield page
      // A database that has lost what was published is not asked again at once.
      else if (!signal.aborted) await log.checkpoints.nextAfter(checkpoint.number)
      last += page.length
    } finally {
      share.close()
    }
  }
}

/** The events of what comes after `last`, some of it. */
async function readPage(
  server: Server,
  checkpoint: PublishedCheckpoint,
  last: number,
  share: BudgetShare,
): Promise<readonly ServerEvent[]> {
  const upTo = Math.min(checkpoint.treeSize, last + entriesAtOnce)
  const sizes = await server.entries.readPayloadSizes(last + 1, upTo)
  const count = countThatFits(sizes, pageBytesMax)
  share.take(readFactor * sizes.slice(0, count).reduce((sum, size) => sum + size, 0))
  const entries = await readPublishedEntries(publishedLog(server, checkpoint), last + 1, last + count)
  return entries.map((entry) => ({ id: entry.sequenceNumber, event: 'entry', data: entryJson(entry) }))
}

/**
 * Where a stream goes on; both are looked at, and `Last-Event-ID` is the newer one. Neither is above the newest checkpoint
 * of any server of the log; `positionOf` says where that is, `what` what that is called.
 */
async function readAfter(
  server: Server,
  c: Context<Env>,
  after: number | undefined,
  positionOf: (checkpoint: PublishedCheckpoint) => number,
  what: string,
): Promise<number | undefined> {
  const last = resume['Last-Event-ID'].read(headerOf(c, 'last-event-id'), 'Last-Event-ID')
  for (const [parameter, position] of [
    ['Last-Event-ID', last],
    ['after', after],
  ] as const) {
    if (position === undefined) continue
    const max = await readMax(server, position, positionOf)
    if (position > max) throw malformed(parameter, `${position} is above ${what} ${max}`)
  }
  return last ?? after
}

const notReadInTime = 'the newest checkpoint could not be read in time'

/** Where the log may be: as far as `position` where it cannot be asked. A browser takes any refusal for final. */
async function readMax(
  { log, times }: Server,
  position: number,
  positionOf: (checkpoint: PublishedCheckpoint) => number,
): Promise<number> {
  const asking = log.follower.upTo((checkpoint) => positionOf(checkpoint) >= position)
  try {
    return positionOf(await deadlineIn(times.answerMs).within(asking, notReadInTime))
  } catch (error) {
    if (error instanceof Unavailable || isOutage(error)) return position
    throw error
  }
}
