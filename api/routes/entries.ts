import type { Context, Hono } from 'hono'
import { entryJson } from '../../src/log/entry-json.ts'
import { type EntryWithLeaf, proveInclusion } from '../../src/log/receipt.ts'
import { checkStoredEntry } from '../../src/log/stored-entry.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { formatBase64 } from '../../tlog/bytes.ts'
import { readLeaf } from '../../tlog/entry.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { requireRole } from '../authenticate.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { malformed, readDecimal } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}` and its proof. */
export function routeEntries(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries/:place')
  openToBrowsers(app, '/v1/entries/:place/proof')
  app.get('/v1/entries/:place', async (c) => {
    if (!server.publicEntries) await requireRole(server, c, 'auditor')
    const { entry } = await findProved(server, c.req.param('place'))
    return c.body(entryJson(entry), 200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  })
  app.get('/v1/entries/:place/proof', async (c) => proofAnswer(c, await findProved(server, c.req.param('place'))))
}

/** An entry that is in the tree of a checkpoint of ours. */
type ProvedEntry = {
  readonly entry: EntryWithLeaf
  readonly checkpoint: StoredCheckpoint
  readonly hashes: readonly Hash[]
}

/** The leaf itself is auditors' data and not shown. */
function proofAnswer(c: Context<Env>, { entry, checkpoint, hashes }: ProvedEntry): Response {
  const leafIndex = entry.sequenceNumber - 1
  const inclusionProof = { leafIndex, treeSize: checkpoint.treeSize, hashes: hashes.map(formatBase64) }
  const proof = { leafIndex, leafHash: formatBase64(entry.leafHash), inclusionProof, checkpoint: checkpoint.note }
  return c.json(proof, 200, { 'cache-control': 'no-store' })
}

/** The entry that a path names: by its sequence number, or by its id. */
async function findProved(server: Server, place: string): Promise<ProvedEntry> {
  if (/^[0-9]+$/.test(place)) {
    const sequenceNumber = readDecimal(place, 'n')
    if (sequenceNumber < 1) throw malformed('n', 'counted from 1')
    return readProved(server, sequenceNumber)
  }
  const id = readId(place)
  const sequenceNumber = await server.findSequenceNumber(id)
  if (sequenceNumber === undefined) throw new Problem('not-found', 'no entry has this id')
  const proved = await readProved(server, sequenceNumber)
  if (formatUuid(readLeaf(proved.entry.leaf).eventId) === id) return proved
  throw new TlogError('leaf-mismatch', `known id of entry ${sequenceNumber}: the entry has another one`)
}

function readId(place: string): string {
  try {
    return formatUuid(parseUuid(place))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed('n', 'want a sequence number or a UUID')
  }
}

// Only what a checkpoint covers is served: above it, rows may be nobody's. What was committed and is not yet signed is
// waited for, so that who was told of an entry finds it.
async function readProved(server: Server, sequenceNumber: number): Promise<ProvedEntry> {
  const { log, hash } = server
  const { integratedSize } = log.health
  if (sequenceNumber > Math.max(integratedSize, log.published.treeSize)) {
    throw new Problem('not-found', `entry ${sequenceNumber}: the log ends at ${integratedSize}`)
  }
  const waiting = log.waitForCheckpoint(sequenceNumber)
  const checkpoint = await deadlineIn(server.times.answerMs).within(waiting, 'the entry is not published yet')
  const stored = await server.readEntry(sequenceNumber)
  if (stored === undefined) throw new TlogError('leaf-mismatch', `entry ${sequenceNumber} is gone`)
  const entry = checkStoredEntry(stored, sequenceNumber, hash)
  const hashes = await proveInclusion(log.tiles, sequenceNumber - 1, entry.leafHash, checkpoint, hash)
  return { entry, checkpoint, hashes }
}
