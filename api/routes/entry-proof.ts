import type { Context, Hono } from 'hono'
import { type PublishedCheckpoint, servedNote } from '../../src/log/cosigned.ts'
import { checkStoredColumns } from '../../src/log/stored-entry.ts'
import { nativeBase64 } from '../../src/ops/native-base64.ts'
import { formatBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import { formatInclusionReceipt } from '../../tlog/cose-receipt.ts'
import type { Hash } from '../../tlog/hash.ts'
import { formatProofFile } from '../../tlog/proof-file.ts'
import type { InclusionJson } from '../../tlog/proof-json.ts'
import { cborType } from '../cbor.ts'
import { openToBrowsers } from '../cors.ts'
import { answerReceipt, coseType, noReceipt, receiptHead } from '../cose.ts'
import { deadlineIn } from '../deadline.ts'
import { checkPlace, checkSigned, findPublished, gone, type Place, pathParameters } from '../entry-place.ts'
import type { Env } from '../env.ts'
import { describe, jsonType, type Operation, textType } from '../operation.ts'
import { choice, readQuery, withDefault } from '../parameters.ts'
import { Problem } from '../problem.ts'
import { base64Hash, bytes, checkpointNote, described, inclusionProof, integer, object, plainText } from '../schema.ts'
import type { Server } from '../server.ts'

/** `GET /v1/entries/{sequence number or id}/proof`. */
export function routeEntryProof(app: Hono<Env>, server: Server): void {
  openToBrowsers(app, '/v1/entries/:n/proof')
  app.get(
    '/v1/entries/:n/proof',
    describe(proofOfEntry, (c, type) => answerProof(server, c, type)),
  )
}

type Under = 'published' | 'witnessed'

const proofQuery = {
  under: withDefault(
    choice<Under>('published', 'witnessed'),
    'published',
    'The newest checkpoint that is published, or that the quorum of the witnesses has cosigned, which is waited for',
  ),
}

const entryProof = object({ leafIndex: integer(), leafHash: base64Hash, inclusionProof, checkpoint: checkpointNote })

const proofOfEntry: Operation = {
  id: 'proveEntry',
  summary: 'Inclusion proof of an entry under the newest checkpoint',
  who: 'everybody',
  pathParameters,
  query: proofQuery,
  answers: {
    200: {
      doc: 'The proof; hashes are base64. As text: a C2SP tlog-proof. As COSE: a receipt (RFC 9942)',
      content: {
        ...{ [jsonType]: entryProof, [textType]: plainText, [cborType]: entryProof },
        [coseType]: described('COSE_Sign1 with the root detached, signed with the P-256 key of the STHs', bytes),
      },
    },
  },
  problems: ['not-found', 'entry-damaged', 'no-witnesses', 'no-receipt'],
}

async function answerProof(server: Server, c: Context<Env>, type: string): Promise<Response> {
  const { under } = readQuery(c, proofQuery)
  if (under === 'witnessed' && server.witnesses?.hasQuorum !== true) {
    throw new Problem('no-witnesses', 'this log has no witnesses', { parameter: 'under' })
  }
  const proving = readProof(server, pathParameters.n.read(c.req.param('n'), 'n'), under)
  const reason = under === 'witnessed' ? notYetWitnessed : notReadInTime
  const proof = await deadlineIn(server.times.answerMs).within(proving, reason)
  const headers = { 'cache-control': 'no-store', vary: 'Accept' }
  if (type === coseType) return answerReceipt(receiptOf(server, proof), headers)
  return type === textType ? c.text(proofText(proof), 200, headers) : c.json(proofJson(proof), 200, headers)
}

const notReadInTime = 'the log could not be read in time'
const notYetWitnessed = 'the witnesses have not cosigned a checkpoint with this entry yet'

type EntryProof = {
  readonly index: number
  readonly leafHash: Hash
  readonly hashes: readonly Hash[]
  readonly checkpoint: PublishedCheckpoint
}

function proofText({ index, leafHash, hashes, checkpoint }: EntryProof): string {
  return formatProofFile({ index, hashes, extra: leafHash, checkpoint: servedNote(checkpoint) })
}

function proofJson({ index, leafHash, hashes, checkpoint }: EntryProof): InclusionJson {
  const inclusionProof = { leafIndex: index, treeSize: checkpoint.treeSize, hashes: hashes.map(nativeBase64) }
  return { leafIndex: index, leafHash: formatBase64(leafHash), inclusionProof, checkpoint: servedNote(checkpoint) }
}

function receiptOf(server: Server, { index, hashes, checkpoint }: EntryProof): Uint8Array {
  if (hashes.length === 0) {
    throw noReceipt(
      'a tree of one entry has no receipt: RFC 9942 wants a hash in its proof; ask again after the next entry',
    )
  }
  const head = receiptHead(server, checkpoint)
  const treeSize = asTreeSize(checkpoint.treeSize)
  return formatInclusionReceipt(head, { treeSize, leafIndex: asLeafIndex(index), path: hashes })
}

/**
 * The leaf itself is auditors' data and not shown, and the payload is never read: anybody may ask for proofs. By
 * sequence number all of it comes from the tiles. By id it takes the other columns of the row as well, which show that
 * the leaf has this id.
 */
async function readProof(server: Server, place: Place, under: Under): Promise<EntryProof> {
  const { log } = server
  const { sequenceNumber, checkpoint: published } = await findPublished(server, place)
  const index = asLeafIndex(sequenceNumber - 1)
  const { leafHash, hashes } = await log.proofs.prove(index, published)
  if (place.kind === 'id') {
    const [columns] = await server.entries.readColumns(sequenceNumber, sequenceNumber)
    if (columns === undefined) throw gone(sequenceNumber)
    checkStoredColumns(columns, sequenceNumber, server.hash)
    checkPlace(place, columns)
    checkSigned({ sequenceNumber, leafHash: columns.leafHash }, leafHash)
  }
  if (under === 'published') return { index, leafHash, hashes, checkpoint: published }
  const checkpoint = await log.checkpoints.waitForWitnessed(sequenceNumber)
  const path = await log.proofs.proveAt(index, asTreeSize(checkpoint.treeSize), log.published)
  return { index, leafHash, hashes: path, checkpoint }
}
