import type { Context, Hono } from 'hono'
import { answerRead, readersOf, readFactor, requireReader } from '../answer-read.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, type Operation } from '../operation.ts'
import { choice, type Kind, malformed, readDecimal, readQuery, required, withDefault } from '../parameters.ts'
import { Problem } from '../problem.ts'
import { publishedUpTo } from '../published.ts'
import { bytes, described } from '../schema.ts'
import type { Server } from '../server.ts'

/** Of one bundle. */
const entriesMax = 1_000
export const bundleType = 'application/vnd.dendrolog.evidence+cbor'

/**
 * `GET /v1/entries/{sequence number}/evidence` and `/v1/evidence`: entries with all that the log and others have said of
 * the trees that hold them, in one file that is checked offline.
 */
export function routeEvidence(app: Hono<Env>, server: Server): void {
  const who = readersOf(server)
  app.get(
    '/v1/entries/:n/evidence',
    describe({ ...oneEntry, who }, (c) =>
      answerBundle(server, c, () => {
        const { payload } = readQuery(c, oneQuery)
        return { numbers: [pathParameters.n.read(c.req.param('n'), 'n')], withPayloads: payload === 'true' }
      }),
    ),
  )
  app.get(
    '/v1/evidence',
    describe({ ...manyEntries, who }, (c) =>
      answerBundle(server, c, () => {
        const { entries, payload } = readQuery(c, manyQuery)
        return { numbers: entries, withPayloads: payload === 'true' }
      }),
    ),
  )
}

/** Sequence numbers in order. */
type Wanted = { readonly numbers: readonly number[]; readonly withPayloads: boolean }

const number: Kind<number> = {
  schema: { type: 'string', pattern: '^[1-9][0-9]{0,15}$' },
  parse: (text, parameter) => {
    const n = readDecimal(text, parameter)
    if (n >= 1) return n
    throw malformed(parameter, 'counted from 1')
  },
}
const numbers: Kind<readonly number[]> = {
  schema: { type: 'string', pattern: '^[1-9][0-9]{0,15}(,[1-9][0-9]{0,15})*$' },
  parse: (text, parameter) => {
    const listed = text.split(',')
    if (listed.length > entriesMax) throw malformed(parameter, `${listed.length} of them, limit ${entriesMax}`)
    const unique = new Set(listed.map((each) => number.parse(each, parameter)))
    if (unique.size < listed.length) throw malformed(parameter, 'one comes twice')
    return [...unique].sort((a, b) => a - b)
  },
}

const pathParameters = { n: required(number, 'Sequence number') }
const payload = withDefault(choice('true', 'false'), 'true', 'Without it the file has only its hash')
const oneQuery = { payload }
const manyQuery = { entries: required(numbers, 'Sequence numbers, separated by commas'), payload }

const answers: Operation['answers'] = {
  200: {
    doc: 'An evidence bundle: deterministic CBOR, which `dendrolog check` reads',
    content: { [bundleType]: described('The file', bytes) },
  },
}

const oneEntry: Omit<Operation, 'who'> = {
  id: 'readEvidence',
  summary: 'All that proves an entry, in one file',
  pathParameters,
  query: oneQuery,
  answers,
  problems: ['not-found', 'entry-damaged'],
}

const manyEntries: Omit<Operation, 'who'> = {
  id: 'readCaseFile',
  summary: 'All that proves several entries, in one file',
  query: manyQuery,
  answers,
  problems: ['not-found', 'entry-damaged'],
}

async function answerBundle(server: Server, c: Context<Env>, readWanted: () => Wanted): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  const { numbers: sequenceNumbers, withPayloads } = readWanted()
  const last = sequenceNumbers.at(-1) as number
  const { treeSize } = await publishedUpTo(server, last, deadline)
  if (last > treeSize) throw new Problem('not-found', `entry ${last}: the log ends at ${treeSize}`)
  const answer = await answerRead(server, c, deadline, 'no-store', async (share) => {
    const sizes = await server.entries.readPayloadSizesAt(sequenceNumbers)
    share.take(readFactor * sizes.reduce((sum, size) => sum + size, 0))
    return new Uint8Array(await server.makeBundle(sequenceNumbers, withPayloads))
  })
  answer.headers.set('content-type', bundleType)
  const name = sequenceNumbers.length === 1 ? `entry-${last}` : `entries-${sequenceNumbers[0]}-to-${last}`
  answer.headers.set('content-disposition', `attachment; filename="${name}.evidence"`)
  return answer
}
