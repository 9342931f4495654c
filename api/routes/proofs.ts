import type { Context, Hono } from 'hono'
import { hashesJson } from '../../src/ops/native-base64.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { formatConsistencyReceipt } from '../../tlog/cose-receipt.ts'
import { openHeaders, openToBrowsers } from '../cors.ts'
import { answerReceipt, coseType, noReceipt, receiptHead } from '../cose.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, jsonOrCbor, jsonType, type Operation } from '../operation.ts'
import { decimal, malformed, readQuery, required } from '../parameters.ts'
import { publishedUpTo } from '../published.ts'
import { bytes, described, hashes, integer, object } from '../schema.ts'
import type { Server } from '../server.ts'

const inclusionQuery = {
  size: required(decimal(), 'Size of the tree, at most that of the newest checkpoint'),
  index: required(decimal(), 'Leaf index, below the size'),
}
const consistencyQuery = {
  to: required(decimal(), 'Size of the larger tree, at most that of the newest checkpoint'),
  from: required(decimal(), 'Size of the smaller tree'),
}

/** `GET /v1/proofs/inclusion` and `/v1/proofs/consistency`, for any size up to that of the newest checkpoint. */
export function routeProofs(app: Hono<Env>, server: Server): void {
  openToBrowsers(app, '/v1/proofs/*')
  app.get(
    '/v1/proofs/inclusion',
    describe(inclusion, (c) => answerInclusion(server, c)),
  )
  app.get(
    '/v1/proofs/consistency',
    describe(consistency, (c, type) => answerConsistency(server, c, type)),
  )
}

const inclusion: Operation = {
  id: 'proveInclusion',
  summary: 'Proof that a leaf is in the tree of a size',
  who: 'everybody',
  query: inclusionQuery,
  answers: {
    200: {
      doc: 'The audit path (RFC 9162 2.1.3.1)',
      content: jsonOrCbor(object({ leafIndex: integer(), treeSize: integer(1), hashes })),
    },
  },
}

const consistency: Operation = {
  id: 'proveConsistency',
  summary: 'Proof that a tree begins with a smaller one',
  who: 'everybody',
  query: consistencyQuery,
  answers: {
    200: {
      doc: 'The proof (RFC 9162 2.1.4.1); empty where there is nothing to prove. As COSE: a receipt (RFC 9942)',
      content: {
        ...jsonOrCbor(object({ from: integer(), to: integer(), hashes })),
        [coseType]: described('COSE_Sign1; there is one where a checkpoint of size `to` was signed', bytes),
      },
    },
  },
  problems: ['no-receipt'],
}

async function answerInclusion(server: Server, c: Context<Env>): Promise<Response> {
  const { size: treeSize, index } = readQuery(c, inclusionQuery)
  const checkpoint = await publishedUpTo(server, treeSize)
  const size = publishedSize(treeSize, checkpoint, 'size')
  if (index >= size) throw malformed('index', `${index} is not below size ${size}`)
  const proving = server.log.proofs.proveAt(asLeafIndex(index), size, checkpoint)
  const hashes = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
  return answerJson(c, `{"leafIndex":${index},"treeSize":${size},"hashes":${hashesJson(hashes)}}`)
}

async function answerConsistency(server: Server, c: Context<Env>, type: string): Promise<Response> {
  const { to: toSize, from } = readQuery(c, consistencyQuery)
  const checkpoint = await publishedUpTo(server, toSize)
  const to = publishedSize(toSize, checkpoint, 'to')
  if (from > to) throw malformed('from', `${from} is above to ${to}`)
  const proving = server.log.proofs.proveConsistency(asTreeSize(from), to, checkpoint)
  const deadline = deadlineIn(server.times.answerMs)
  const hashes = await deadline.within(proving, notReadInTime)
  if (type === coseType) {
    if (hashes.length === 0)
      throw noReceipt(`from ${from} to ${to}: there is nothing to prove, and RFC 9942 wants a hash`)
    const signed = await deadline.within(server.readCheckpointOfSize(to, checkpoint.number), notReadInTime)
    if (signed === undefined) throw noReceipt(`to: no checkpoint of ${to} entries was signed`)
    const receipt = formatConsistencyReceipt(receiptHead(server, signed), { from: asTreeSize(from), to, path: hashes })
    return answerReceipt(receipt, openHeaders(c, { 'cache-control': 'no-store', vary: 'Accept' }))
  }
  return answerJson(c, `{"from":${from},"to":${to},"hashes":${hashesJson(hashes)}}`)
}

function answerJson(c: Context<Env>, json: string): Response {
  return new Response(json, { status: 200, headers: openHeaders(c, { 'content-type': jsonType }) })
}

const notReadInTime = 'the tiles could not be read in time'

function publishedSize(size: number, { treeSize }: StoredCheckpoint, parameter: string): TreeSize {
  if (size > treeSize) throw malformed(parameter, `${size} is above the newest checkpoint's ${treeSize}`)
  return asTreeSize(size)
}
