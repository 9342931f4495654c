import type { Context, Hono } from 'hono'
import { type EntryWithLeaf, entryJson, proveInclusion, storedEntry } from '../../src/log/receipt.ts'
import { equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import { leafHash } from '../../tlog/hash.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { requireRole } from '../authenticate.ts'
import { readDecimal } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}` and its proof. */
export function routeEntries(app: Hono<Env>, server: Server): void {
  app.get('/v1/entries/:place', async (c) => {
    if (!server.publicEntries) await requireRole(server, c, 'auditor')
    const entry = await findEntry(server, c.req.param('place'))
    return c.body(entryJson(entry), 200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  })
  app.get('/v1/entries/:place/proof', async (c) =>
    proofAnswer(server, c, await findPlace(server, c.req.param('place'))),
  )
}

/** Proof of an entry under the newest checkpoint; the leaf itself is auditors' data and not shown. */
async function proofAnswer(server: Server, c: Context<Env>, sequenceNumber: number): Promise<Response> {
  const checkpoint = server.log.published
  if (sequenceNumber > checkpoint.treeSize) {
    throw new Problem('not-published', `entry ${sequenceNumber}: the newest checkpoint has ${checkpoint.treeSize}`)
  }
  const entry = await readChecked(server, sequenceNumber)
  const leafIndex = sequenceNumber - 1
  const hashes = await proveInclusion(server.log.tiles, leafIndex, entry.leafHash, checkpoint, server.hash)
  return c.json({
    leafIndex,
    leafHash: formatBase64(entry.leafHash),
    inclusionProof: { leafIndex, treeSize: checkpoint.treeSize, hashes: hashes.map(formatBase64) },
    checkpoint: checkpoint.note,
  })
}

async function findEntry(server: Server, place: string): Promise<EntryWithLeaf> {
  return readChecked(server, await findPlace(server, place))
}

/** The sequence number that a path names: itself, or the id of an entry. */
async function findPlace(server: Server, place: string): Promise<number> {
  if (/^[0-9]+$/.test(place)) {
    const sequenceNumber = readDecimal(place, 'n')
    if (sequenceNumber < 1) throw new Problem('malformed-parameter', 'n: counted from 1', { parameter: 'n' })
    return sequenceNumber
  }
  const found = await server.findSequenceNumber(readId(place))
  if (found === undefined) throw new Problem('not-found', 'no entry has this id')
  return found
}

function readId(place: string): string {
  try {
    return formatUuid(parseUuid(place))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw new Problem('malformed-parameter', 'want a sequence number or a UUID', { parameter: 'n' })
  }
}

/** An entry whose columns make the leaf that its leaf hash is of: nothing else is served. */
async function readChecked(server: Server, sequenceNumber: number): Promise<EntryWithLeaf> {
  const stored = await server.readEntry(sequenceNumber)
  if (stored === undefined) throw new Problem('not-found', `there is no entry ${sequenceNumber}`)
  const entry = storedEntry(stored)
  if (!equalBytes(leafHash(entry.leaf, server.hash), entry.leafHash)) {
    throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its columns are not those of its leaf hash`)
  }
  return entry
}
