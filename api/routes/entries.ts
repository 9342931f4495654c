import type { Hono } from 'hono'
import { entryJson } from '../../src/log/entry-json.ts'
import { proveInclusion } from '../../src/log/receipt.ts'
import { checkStoredColumns, checkStoredEntry } from '../../src/log/stored-entry.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import type { StoredColumns } from '../../src/store/entries.ts'
import { equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { formatProofFile, type ProofFile } from '../../tlog/proof-file.ts'
import type { InclusionJson } from '../../tlog/proof-json.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { answerRead, readFactor, requireReader } from '../answer-read.ts'
import type { BudgetShare } from '../byte-budget.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { chooseMediaType } from '../media-type.ts'
import { checkQuery, malformed, readDecimal } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}` and its proof. */
export function routeEntries(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries/:place')
  openToBrowsers(app, '/v1/entries/:place/proof')
  app.get('/v1/entries/:place', async (c) => {
    const deadline = deadlineIn(server.times.answerMs)
    await requireReader(server, c, deadline)
    checkQuery(c, [])
    const place = readPlace(c.req.param('place'))
    return answerRead(server, c, deadline, 'no-store', (share) => readEntryJson(server, place, share))
  })
  app.get('/v1/entries/:place/proof', async (c) => {
    checkQuery(c, [])
    const type = chooseMediaType(c, ['application/json', 'text/plain'])
    const proving = readProof(server, readPlace(c.req.param('place')))
    const proof = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
    const headers = { 'cache-control': 'no-store', vary: 'Accept' }
    return type === 'text/plain' ? c.text(formatProofFile(proof), 200, headers) : c.json(proofJson(proof), 200, headers)
  })
}

const notReadInTime = 'the log could not be read in time'

/** What a path names an entry by. */
type Place = { readonly kind: 'number'; readonly sequenceNumber: number } | { readonly kind: 'id'; readonly id: string }

function readPlace(text: string): Place {
  if (!/^[0-9]+$/.test(text)) return { kind: 'id', id: readId(text) }
  const sequenceNumber = readDecimal(text, 'n')
  if (sequenceNumber < 1) throw malformed('n', 'counted from 1')
  return { kind: 'number', sequenceNumber }
}

function readId(text: string): string {
  try {
    return formatUuid(parseUuid(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed('n', 'want a sequence number or a UUID')
  }
}

async function readEntryJson(server: Server, place: Place, share: BudgetShare): Promise<Uint8Array<ArrayBuffer>> {
  const { sequenceNumber, checkpoint } = await findPublished(server, place)
  const [bytes = 0] = await server.entries.readPayloadSizes(sequenceNumber, sequenceNumber)
  share.take(readFactor * bytes)
  const [stored] = await server.entries.readEntries(sequenceNumber, sequenceNumber)
  if (stored === undefined) throw gone(sequenceNumber)
  const entry = checkStoredEntry(stored, sequenceNumber, server.hash)
  checkPlace(place, stored)
  await proveInclusion(server.log.tiles, sequenceNumber - 1, entry.leafHash, checkpoint, server.hash)
  return entryJson(entry)
}

type EntryProof = ProofFile & { readonly leafHash: Hash; readonly treeSize: number }

function proofJson({ index, leafHash, treeSize, hashes, checkpoint }: EntryProof): InclusionJson {
  const inclusionProof = { leafIndex: index, treeSize, hashes: hashes.map(formatBase64) }
  return { leafIndex: index, leafHash: formatBase64(leafHash), inclusionProof, checkpoint }
}

/**
 * The leaf itself is auditors' data and not shown, and the payload is never read: anybody may ask for proofs. By
 * sequence number all of it comes from the tiles. By id it takes the other columns of the row as well, which show that
 * the leaf has this id.
 */
async function readProof(server: Server, place: Place): Promise<EntryProof> {
  const { sequenceNumber, checkpoint } = await findPublished(server, place)
  const leafIndex = sequenceNumber - 1
  const { leafHash, hashes } = await server.log.proofs.prove(leafIndex, checkpoint)
  if (place.kind === 'id') {
    const [columns] = await server.entries.readColumns(sequenceNumber, sequenceNumber)
    if (columns === undefined) throw gone(sequenceNumber)
    checkStoredColumns(columns, sequenceNumber, server.hash)
    checkPlace(place, columns)
    if (!equalBytes(columns.leafHash, leafHash)) {
      throw new TlogError('leaf-mismatch', `entry ${sequenceNumber}: its leaf hash is not the one in the tree`)
    }
  }
  const { treeSize, note } = checkpoint
  return { index: leafIndex, leafHash, treeSize, hashes, extra: leafHash, checkpoint: note }
}

type Published = { readonly sequenceNumber: number; readonly checkpoint: StoredCheckpoint }

// Only what a checkpoint covers is served: above it, rows may be nobody's. What was committed and is not yet signed is
// waited for, so that who was told of an entry finds it.
async function findPublished(server: Server, place: Place): Promise<Published> {
  const { log } = server
  const sequenceNumber = place.kind === 'number' ? place.sequenceNumber : await server.findSequenceNumber(place.id)
  if (sequenceNumber === undefined) throw new Problem('not-found', 'no entry has this id')
  const { integratedSize } = log.health
  if (sequenceNumber > Math.max(integratedSize, log.published.treeSize)) {
    throw new Problem('not-found', `entry ${sequenceNumber}: the log ends at ${integratedSize}`)
  }
  return { sequenceNumber, checkpoint: await log.waitForCheckpoint(sequenceNumber) }
}

/** The table of known ids is not under the tree: what it says of an entry, the entry must say too. */
function checkPlace(place: Place, { fields }: Pick<StoredColumns, 'fields'>): void {
  if (place.kind === 'number' || formatUuid(fields.eventId) === place.id) return
  throw new TlogError('leaf-mismatch', `known id of entry ${fields.sequenceNumber}: the entry has another one`)
}

function gone(sequenceNumber: number): TlogError {
  return new TlogError('leaf-mismatch', `entry ${sequenceNumber} is gone`)
}
