import type { Context, Hono } from 'hono'
import { entryJson } from '../../src/log/entry-json.ts'
import { checkStoredEntry } from '../../src/log/stored-entry.ts'
import { asLeafIndex } from '../../tlog/coords.ts'
import { answerRead, readersOf, readFactor, requireReader } from '../answer-read.ts'
import type { BudgetShare } from '../byte-budget.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { checkPlace, checkSigned, findPublished, gone, type Place, pathParameters } from '../entry-place.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, type Operation } from '../operation.ts'
import { readQuery } from '../parameters.ts'
import { entry } from '../schema-entry.ts'
import type { Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}`. */
export function routeEntries(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries/:n')
  app.get(
    '/v1/entries/:n',
    describe({ ...oneEntry, who: readersOf(server) }, (c) => answerEntry(server, c)),
  )
}

async function answerEntry(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  readQuery(c, {})
  const place = pathParameters.n.read(c.req.param('n'), 'n')
  return answerRead(server, c, deadline, 'no-store', (share) => readEntryJson(server, place, share))
}

const oneEntry: Omit<Operation, 'who'> = {
  id: 'readEntry',
  summary: 'An entry',
  pathParameters,
  query: {},
  answers: { 200: { doc: 'The entry, compared with the tree', content: jsonOrCbor(entry) } },
  problems: ['not-found', 'entry-damaged'],
}

async function readEntryJson(server: Server, place: Place, share: BudgetShare): Promise<Uint8Array<ArrayBuffer>> {
  const { sequenceNumber, checkpoint } = await findPublished(server, place)
  const [bytes = 0] = await server.entries.readPayloadSizes(sequenceNumber, sequenceNumber)
  share.take(readFactor * bytes)
  const [stored] = await server.entries.readEntries(sequenceNumber, sequenceNumber)
  if (stored === undefined) throw gone(sequenceNumber)
  const entry = checkStoredEntry(stored, sequenceNumber, server.hash)
  checkPlace(place, stored)
  const { leafHash } = await server.log.proofs.prove(asLeafIndex(sequenceNumber - 1), checkpoint)
  checkSigned(entry, leafHash)
  return entryJson(entry)
}
