import type { Context, Hono } from 'hono'
import type { Principal } from '../../src/auth/principal.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { Arena } from '../../src/log/arena.ts'
import { encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { requireRole, senderOf } from '../authenticate.ts'
import { type BodyLimits, withBody } from '../body.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
import { recordContext } from '../record-context.ts'
import { bytes } from '../schema.ts'
import type { Server } from '../server.ts'

const dataBytesMax = 65_536
const actorPointsMax = 255

/**
 * `POST /add`, for clients of C2SP-style logs that send bytes: whatever they are becomes `{"data": base64}`, and the
 * answer is the leaf index in decimal, when that is durable. Every request is an entry of its own: it has no id.
 */
export function routeAdd(app: Hono<Env>, server: Server): void {
  const reader = new RecordReader()
  const bodyLimits: BodyLimits = {
    bytesMax: dataBytesMax,
    arrivalMs: server.times.answerMs,
    paceMs: server.times.paceMs,
    budget: server.bodyBudget,
  }
  const answer = async (c: Context<Env>): Promise<Response> => {
    const deadline = deadlineIn(server.times.answerMs)
    const principal = await requireRole(server, c, who, deadline)
    server.rateLimiter.countRecords(principal, 0)
    server.log.checkMaySubmit()
    readQuery(c, {})
    const context = recordContext(server, c, principal)
    return withBody(c, bodyLimits, senderOf(server, c, principal, who, deadline), async (body, charge) => {
      server.rateLimiter.countRecords(principal, 1)
      const record = recordOf(body, principal)
      const submission = reader.read(record, 0, record.length, new Arena(record.length, charge), context)
      const { firstSequenceNumber } = await deadline.within(server.door.submit([submission]), notYetWritten)
      return c.text(String(firstSequenceNumber - 1), 200, { 'cache-control': 'no-store' })
    })
  }
  app.post('/add', describe(operation, answer))
}

const who = 'bytes:add'

const operation: Operation = {
  id: 'addBytes',
  summary: 'Log bytes, as clients of C2SP-style logs do',
  doc: `The entry has action \`add\`, resource \`/add\` and the bytes, ${dataBytesMax} at most, as base64 in \`payload.data\`.`,
  who,
  query: {},
  body: { '*/*': bytes },
  answers: {
    200: {
      doc: 'The leaf index in decimal; the entry is durable',
      content: { 'text/plain': { type: 'string', pattern: '^(0|[1-9][0-9]*)$' } },
    },
  },
}

const notYetWritten = 'it is not known yet whether this was written'

function recordOf(body: Uint8Array, { identity }: Principal): Uint8Array {
  const actorId = [...identity].slice(0, actorPointsMax).join('')
  const payload = { data: formatBase64(body) }
  return encodeUtf8(JSON.stringify({ actorId, action: 'add', resource: '/add', payload }))
}
