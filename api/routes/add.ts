import type { Hono } from 'hono'
import type { Principal } from '../../src/auth/principal.ts'
import { RecordReader } from '../../src/ingest/record.ts'
import { Arena } from '../../src/log/arena.ts'
import { encodeUtf8, formatBase64 } from '../../tlog/bytes.ts'
import { requireRole } from '../authenticate.ts'
import { type BodyLimits, withBody } from '../body.ts'
import { deadlineIn } from '../deadline.ts'
import { checkQuery } from '../parameters.ts'
import { recordContext } from '../record-context.ts'
import type { Env, Server } from '../server.ts'

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
    budget: server.bodyBudget,
  }
  app.post('/add', async (c) => {
    const deadline = deadlineIn(server.times.answerMs)
    const principal = await requireRole(server, c, 'writer', deadline)
    server.log.checkMaySubmit()
    checkQuery(c, [])
    const context = recordContext(server, c, principal)
    return withBody(c, bodyLimits, async (body, charge) => {
      const record = recordOf(body, principal)
      const submission = reader.read(record, 0, record.length, new Arena(record.length, charge), context)
      const { firstSequenceNumber } = await deadline.within(server.door.submit([submission]), notYetWritten)
      return c.text(String(firstSequenceNumber - 1), 200, { 'cache-control': 'no-store' })
    })
  })
}

const notYetWritten = 'it is not known yet whether this was written'

function recordOf(body: Uint8Array, { identity }: Principal): Uint8Array {
  const actorId = [...identity].slice(0, actorPointsMax).join('')
  const payload = { data: formatBase64(body) }
  return encodeUtf8(JSON.stringify({ actorId, action: 'add', resource: '/add', payload }))
}
