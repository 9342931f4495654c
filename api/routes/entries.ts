import type { Context, Hono } from 'hono'
import { type PublishedCheckpoint, servedNote } from '../../src/log/cosigned.ts'
import { entryJson } from '../../src/log/entry-json.ts'
import { checkStoredColumns, checkStoredEntry } from '../../src/log/stored-entry.ts'
import { nativeBase64 } from '../../src/ops/native-base64.ts'
import { DamagedEntry, isGone, isNotSigned } from '../../src/store/damaged-entry.ts'
import type { StoredColumns } from '../../src/store/entries.ts'
import { equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { formatProofFile, type ProofFile } from '../../tlog/proof-file.ts'
import type { InclusionJson } from '../../tlog/proof-json.ts'
import { formatUuid, parseUuid } from '../../tlog/uuid.ts'
import { answerRead, readersOf, readFactor, requireReader } from '../answer-read.ts'
import type { BudgetShare } from '../byte-budget.ts'
import { cborType } from '../cbor.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, jsonType, type Operation, textType } from '../operation.ts'
import { type Kind, malformed, orMalformed, readDecimal, readQuery, required } from '../parameters.ts'
import { Problem } from '../problem.ts'
import { publishedUpTo } from '../published.ts'
import { base64Hash, checkpointNote, inclusionProof, integer, object, plainText } from '../schema.ts'
import { entry } from '../schema-entry.ts'
import type { Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}` and its proof. */
export function routeEntries(app: Hono<Env>, server: Server): void {
  if (server.publicEntries) openToBrowsers(app, '/v1/entries/:n')
  openToBrowsers(app, '/v1/entries/:n/proof')
  app.get(
    '/v1/entries/:n',
    describe({ ...oneEntry, who: readersOf(server) }, (c) => answerEntry(server, c)),
  )
  app.get(
    '/v1/entries/:n/proof',
    describe(proofOfEntry, (c, type) => answerProof(server, c, type)),
  )
}

async function answerEntry(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  readQuery(c, {})
  const place = pathParameters.n.read(c.req.param('n'), 'n')
  return answerRead(server, c, deadline, 'no-store', (share) => readEntryJson(server, place, share))
}

async function answerProof(server: Server, c: Context<Env>, type: string): Promise<Response> {
  readQuery(c, {})
  const proving = readProof(server, pathParameters.n.read(c.req.param('n'), 'n'))
  const proof = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
  const headers = { 'cache-control': 'no-store', vary: 'Accept' }
  return type === textType ? c.text(formatProofFile(proof), 200, headers) : c.json(proofJson(proof), 200, headers)
}

const notReadInTime = 'the log could not be read in time'

/** What a path names an entry by. */
type Place = { readonly kind: 'number'; readonly sequenceNumber: number } | { readonly kind: 'id'; readonly id: string }

const place: Kind<Place> = {
  schema: { type: 'string', pattern: '^([1-9][0-9]{0,15}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$' },
  parse: (text, parameter) => {
    if (!/^[0-9]+$/.test(text)) {
      const reason = 'want a sequence number or a UUID'
      return { kind: 'id', id: orMalformed(parameter, reason, () => formatUuid(parseUuid(text))) }
    }
    const sequenceNumber = readDecimal(text, parameter)
    if (sequenceNumber < 1) throw malformed(parameter, 'counted from 1')
    return { kind: 'number', sequenceNumber }
  },
}
const pathParameters = { n: required(place, 'Sequence number or id') }

const oneEntry: Omit<Operation, 'who'> = {
  id: 'readEntry',
  summary: 'An entry',
  pathParameters,
  query: {},
  answers: { 200: { doc: 'The entry, compared with the tree', content: jsonOrCbor(entry) } },
  problems: ['not-found', 'entry-damaged'],
}

const entryProof = object({ leafIndex: integer(), leafHash: base64Hash, inclusionProof, checkpoint: checkpointNote })

const proofOfEntry: Operation = {
  id: 'proveEntry',
  summary: 'Inclusion proof of an entry under the newest checkpoint',
  who: 'everybody',
  pathParameters,
  query: {},
  answers: {
    200: {
      doc: 'The proof; hashes are base64. As text: a C2SP tlog-proof',
      content: { [jsonType]: entryProof, [textType]: plainText, [cborType]: entryProof },
    },
  },
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

type EntryProof = ProofFile & { readonly leafHash: Hash; readonly treeSize: number }

function proofJson({ index, leafHash, treeSize, hashes, checkpoint }: EntryProof): InclusionJson {
  const inclusionProof = { leafIndex: index, treeSize, hashes: hashes.map(nativeBase64) }
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
  const { leafHash, hashes } = await server.log.proofs.prove(asLeafIndex(leafIndex), checkpoint)
  if (place.kind === 'id') {
    const [columns] = await server.entries.readColumns(sequenceNumber, sequenceNumber)
    if (columns === undefined) throw gone(sequenceNumber)
    checkStoredColumns(columns, sequenceNumber, server.hash)
    checkPlace(place, columns)
    checkSigned({ sequenceNumber, leafHash: columns.leafHash }, leafHash)
  }
  const { treeSize } = checkpoint
  return { index: leafIndex, leafHash, treeSize, hashes, extra: leafHash, checkpoint: servedNote(checkpoint) }
}

type Published = { readonly sequenceNumber: number; readonly checkpoint: PublishedCheckpoint }

// Only what a checkpoint covers is served: above it, rows may be nobody's. What was committed and is not yet signed is
// waited for, so that who was told of an entry finds it.
async function findPublished(server: Server, place: Place): Promise<Published> {
  const { log } = server
  const sequenceNumber = place.kind === 'number' ? place.sequenceNumber : await server.findSequenceNumber(place.id)
  if (sequenceNumber === undefined) throw new Problem('not-found', 'no entry has this id')
  if (sequenceNumber > log.health.integratedSize) await publishedUpTo(server, sequenceNumber)
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

function checkSigned(entry: { readonly sequenceNumber: number; readonly leafHash: Hash }, signed: Hash): void {
  if (!equalBytes(entry.leafHash, signed)) throw new DamagedEntry(entry.sequenceNumber, isNotSigned)
}

function gone(sequenceNumber: number): DamagedEntry {
  return new DamagedEntry(sequenceNumber, isGone)
}
