import { type Batch, type BatchLimits, cutBatches } from './batches.ts'
import type { Input, SentHash } from './input.ts'
import { readLines } from './lines.ts'
import { greatest, least, type PostAnswer, postRecords, type Target } from './server.ts'
import { type AppendState, type Counts, type RefusedLine, refusedKeptMax, writeState } from './state.ts'

export type RunOptions = {
  readonly input: Input
  readonly target: Target
  readonly limits: BatchLimits
  readonly lineBytesMax: number
  readonly state: AppendState
  /** Of the input; undefined for a stream. */
  readonly sent: SentHash | undefined
  /** Undefined for a stream, which cannot be resumed. */
  readonly statePath: string | undefined
  readonly onRefused: (refused: RefusedLine) => void
  readonly onProgress: (state: AppendState) => void
}

/**
 * Sends the input from the state's place on and returns the last state. One batch is under way at a time, so that
 * entries get the order of the input even where a batch is answered 503; the next is read and given its ids meanwhile.
 * A crash anywhere costs at most sending one batch again, which the server then knows by its ids.
 */
export async function runAppend(options: RunOptions, signal: AbortSignal): Promise<AppendState> {
  const { input, limits, lineBytesMax } = options
  let { state } = options
  // The state of a batch is written while the next one is under way.
  let saved: Promise<void> = Promise.resolve()
  const lines = readLines(input.read(state.place), state.place, lineBytesMax)
  try {
    for await (const batch of readAhead(cutBatches(lines, state.run, limits))) {
      const refused = [...state.refused]
      const keep = (line: RefusedLine): void => {
        if (refused.length < refusedKeptMax) refused.push(line)
        options.onRefused(line)
      }
      const counts = await sendBatch({ ...options, onRefused: keep }, batch, state.counts, signal)
      state = { ...state, place: batch.end, counts, refused, sent: await hashAt(options, batch.end.offset) }
      await saved
      saved = save(options.statePath, state)
      options.onProgress(state)
    }
  } finally {
    await saved
  }
  return state
}

function save(path: string | undefined, state: AppendState): Promise<void> {
  const saved = path === undefined ? Promise.resolve() : writeState(path, state)
  // Seen when it is awaited; until then it must not end the process.
  saved.catch(() => {})
  return saved
}

async function hashAt({ sent, input }: RunOptions, offset: number): Promise<string> {
  if (sent === undefined) return ''
  const hash = await sent.at(offset)
  if (hash === undefined) throw new Error(`${input.name}: got shorter while it was read`)
  return hash
}

/** Asks for the next value while the last one is being used. */
async function* readAhead<T>(values: AsyncGenerator<T, void>): AsyncGenerator<T, void> {
  let next = values.next()
  for (;;) {
    const { value, done } = await next
    if (done === true) return
    next = values.next()
    // Seen when it is awaited; until then it must not end the process.
    next.catch(() => {})
    yield value as T
  }
}

async function sendBatch(options: RunOptions, batch: Batch, before: Counts, signal: AbortSignal): Promise<Counts> {
  for (const line of batch.tooLong) {
    options.onRefused({ line, code: 'body-too-large', detail: 'longer than a request may be', pointer: undefined })
  }
  const sent = await sendRecords(options, batch.records, batch.lines, signal)
  return sent.reduce(addAnswer, { ...before, refused: before.refused + batch.tooLong.length })
}

/** Where the server, or a proxy before it, says that a request is too large, its halves are sent, in order. */
async function sendRecords(
  options: RunOptions,
  records: readonly Uint8Array[],
  lines: readonly number[],
  signal: AbortSignal,
): Promise<PostAnswer[]> {
  if (records.length === 0) return []
  const answer = await postRecords(options.target, records, signal)
  if (answer === undefined && records.length > 1) {
    const half = Math.ceil(records.length / 2)
    const first = await sendRecords(options, records.slice(0, half), lines.slice(0, half), signal)
    return [...first, ...(await sendRecords(options, records.slice(half), lines.slice(half), signal))]
  }
  const settled = answer ?? tooLarge
  for (const { i, ...refused } of settled.refused) options.onRefused({ line: lines[i] ?? 0, ...refused })
  return [settled]
}

/** Stands in for the answer to a single record that is too large to be sent. */
const tooLarge: PostAnswer = {
  ...{ accepted: 0, duplicates: 0, firstIndex: null, lastIndex: null },
  refused: [{ i: 0, code: 'body-too-large', detail: 'larger than the server takes', pointer: undefined }],
}

function addAnswer(counts: Counts, answer: PostAnswer): Counts {
  const indexes = [counts.firstIndex, counts.lastIndex, answer.firstIndex, answer.lastIndex].filter((n) => n !== null)
  return {
    accepted: counts.accepted + answer.accepted,
    duplicates: counts.duplicates + answer.duplicates,
    refused: counts.refused + answer.refused.length,
    firstIndex: least(indexes),
    lastIndex: greatest(indexes),
  }
}
