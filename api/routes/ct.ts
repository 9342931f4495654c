import type { Context, Hono } from 'hono'
import { countThatFits, payloadsBytesMax, readPublishedEntries } from '../../src/log/published-entries.ts'
import { nativeBase64 } from '../../src/ops/native-base64.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { equalBytes, formatBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type LeafIndex, type TreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Hash } from '../../tlog/hash.ts'
import { answerRead, publishedLog, readersOf, readFactor, requireReader } from '../answer-read.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import type { Env } from '../env.ts'
import { describe, jsonType, type Operation } from '../operation.ts'
import { hash, malformed, readKnownQuery, required, uint64 } from '../parameters.ts'
import { Problem } from '../problem.ts'
import { publishedUpTo } from '../published.ts'
import { base64, base64Hash, hashes, integer, type JsonSchema, listOf, type Members, object } from '../schema.ts'
import type { Server } from '../server.ts'

/** Entries of one answer; longer ranges end on a multiple of it, so that caches see the same ranges again. */
const entriesMax = 1_000
const notReadInTime = 'the log could not be read in time'
const immutable = 'max-age=86400'
/** Of a range that ends where the tree does now: it will have more. */
const growing = 'max-age=60'

/**
 * RFC 6962 section 4, for the size of the newest checkpoint. Parameters that are not known are ignored, as the RFC wants
 * it. `leaf_input` is the leaf itself, `extra_data` the RFC 8785 text of the payload.
 */
export function routeCt(app: Hono<Env>, server: Server): void {
  for (const name of ['get-sth', 'get-sth-consistency', 'get-proof-by-hash', 'get-roots'])
    openToBrowsers(app, `/ct/v1/${name}`)
  const readers = { who: readersOf(server) }
  app.get(
    '/ct/v1/get-sth',
    describe(sth, (c) => c.json(sthOf(server), 200, { 'cache-control': 'no-store' })),
  )
  app.get(
    '/ct/v1/get-sth-consistency',
    describe(consistency, (c) => answerConsistency(server, c)),
  )
  app.get(
    '/ct/v1/get-proof-by-hash',
    describe(proofByHash, (c) => answerProofByHash(server, c)),
  )
  app.get(
    '/ct/v1/get-entries',
    describe({ ...rangeOfEntries, ...readers }, (c) => answerEntries(server, c)),
  )
  app.get(
    '/ct/v1/get-entry-and-proof',
    describe({ ...entryAndProof, ...readers }, (c) => answerEntryAndProof(server, c)),
  )
  // Entries are not certificates: there is nothing that they would have to lead to.
  app.get(
    '/ct/v1/get-roots',
    describe(roots, (c) => c.json({ certificates: [] })),
  )
}

const treeSize = required(uint64(1), 'At most the size of the newest signed tree head')
const consistencyQuery = {
  first: required(uint64(0), 'Size of the smaller tree'),
  second: required(uint64(0), 'Size of the larger tree, at most that of the newest signed tree head'),
}
const proofByHashQuery = { hash: required(hash, 'Base64 of the leaf hash'), tree_size: treeSize }
const rangeQuery = {
  start: required(uint64(0), 'The first leaf index'),
  end: required(uint64(0), 'The last one; the answer may end before it'),
}
const entryAndProofQuery = { tree_size: treeSize, leaf_index: required(uint64(0), 'Below the tree size') }

function answers(doc: string, members: Members): Operation['answers'] {
  return { 200: { doc, content: { [jsonType]: object(members) } } }
}

const sth: Operation = {
  id: 'getSth',
  summary: 'The newest signed tree head (RFC 6962 4.3)',
  who: 'everybody',
  answers: answers('tree_head_signature is a DigitallySigned', {
    ...{ tree_size: integer(), timestamp: integer() },
    ...{ sha256_root_hash: base64Hash, tree_head_signature: base64 },
  }),
}

const consistency: Operation = {
  id: 'getSthConsistency',
  summary: 'Consistency proof of two tree heads (RFC 6962 4.4)',
  who: 'everybody',
  query: consistencyQuery,
  answers: answers('The proof', { consistency: hashes }),
}

const proofByHash: Operation = {
  id: 'getProofByHash',
  summary: 'Audit path of a leaf hash (RFC 6962 4.5)',
  who: 'everybody',
  query: proofByHashQuery,
  answers: answers('The path', { leaf_index: integer(), audit_path: hashes }),
  problems: ['not-found'],
}

const leafInput: JsonSchema = { ...base64, description: 'The leaf itself' }
const extraData: JsonSchema = { ...base64, description: 'The RFC 8785 text of the payload' }

const rangeOfEntries: Omit<Operation, 'who'> = {
  id: 'getEntries',
  summary: 'Entries of a range (RFC 6962 4.6)',
  query: rangeQuery,
  answers: answers('At least one of them', {
    entries: listOf(object({ leaf_input: leafInput, extra_data: extraData }), entriesMax),
  }),
  problems: ['entry-damaged'],
}

const entryAndProof: Omit<Operation, 'who'> = {
  id: 'getEntryAndProof',
  summary: 'An entry and its audit path (RFC 6962 4.8)',
  query: entryAndProofQuery,
  answers: answers('Both', { leaf_input: leafInput, extra_data: extraData, audit_path: hashes }),
  problems: ['entry-damaged'],
}

const roots: Operation = {
  id: 'getRoots',
  summary: 'Accepted root certificates (RFC 6962 4.7): none, entries are not certificates',
  who: 'everybody',
  answers: answers('An empty list', { certificates: listOf(base64, 0) }),
}

function sthOf({ log }: Server): object {
  const { treeSize, timestampMs, root, sthSignature } = log.published
  return {
    tree_size: treeSize,
    timestamp: timestampMs,
    sha256_root_hash: formatBase64(root),
    tree_head_signature: formatBase64(sthSignature),
  }
}

async function answerConsistency(server: Server, c: Context<Env>): Promise<Response> {
  const { first, second } = readKnownQuery(c, consistencyQuery)
  if (first > second) throw malformed('first', 'is above second')
  const checkpoint = await publishedUpTo(server, second)
  if (second > checkpoint.treeSize) throw malformed('second', aboveTree(checkpoint))
  const proving = server.log.proofs.proveConsistency(asTreeSize(first), asTreeSize(second), checkpoint)
  const hashes = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
  return c.json({ consistency: hashes.map(nativeBase64) }, 200, { 'cache-control': `public, ${immutable}` })
}

/** The search tables say where a leaf is; that it is there, the proof says. */
async function answerProofByHash(server: Server, c: Context<Env>): Promise<Response> {
  const { hash: leaf, tree_size: size } = readKnownQuery(c, proofByHashQuery)
  const checkpoint = await publishedUpTo(server, size)
  if (size > checkpoint.treeSize) throw new Problem('not-found', `tree_size: ${aboveTree(checkpoint)}`)
  const { audit_path, leaf_index } = await deadlineIn(server.times.answerMs).within(
    proveByHash(server, leaf, asTreeSize(size), checkpoint),
    notReadInTime,
  )
  return c.json({ leaf_index, audit_path }, 200, { 'cache-control': `public, ${immutable}` })
}

async function proveByHash(
  server: Server,
  leaf: Hash,
  size: TreeSize,
  checkpoint: StoredCheckpoint,
): Promise<{ readonly leaf_index: number; readonly audit_path: readonly string[] }> {
  const { log } = server
  const index = await findLeaf(server, leaf, size)
  const { leafHash } = await log.proofs.prove(index, checkpoint)
  if (!equalBytes(leafHash, leaf)) {
    throw new TlogError('leaf-mismatch', `entry ${index + 1}: the tree has it with another leaf hash`)
  }
  const path = await log.proofs.proveAt(index, size, checkpoint)
  return { leaf_index: index, audit_path: path.map(nativeBase64) }
}

/** In the search tables; what is too new for them, in the tiles. */
async function findLeaf({ log, search }: Server, leaf: Hash, size: TreeSize): Promise<LeafIndex> {
  const searchedSize = Math.min(search.position(), size)
  const number = await search.findLeaf(leaf, size)
  if (number !== undefined) return asLeafIndex(number - 1)
  const index = searchedSize < size ? await log.leaves.find(leaf, searchedSize, size) : undefined
  if (index === undefined) throw new Problem('not-found', `no leaf of the first ${size} has this hash`)
  return asLeafIndex(index)
}

async function answerEntries(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  const { start, end } = readKnownQuery(c, rangeQuery)
  if (start > end) throw malformed('start', 'is above end')
  const checkpoint = await publishedUpTo(server, start + 1, deadline)
  const { treeSize } = checkpoint
  if (start >= treeSize) throw malformed('start', `is not below the tree size ${treeSize}`)
  const wanted = Math.min(end, start - (start % entriesMax) + entriesMax - 1)
  const last = Math.min(wanted, treeSize - 1)
  const cached = cacheControl(server, wanted === last ? immutable : growing)
  return answerRead(server, c, deadline, cached, async (share) => {
    const sizes = await server.entries.readPayloadSizes(start + 1, last + 1)
    const count = countThatFits(sizes, payloadsBytesMax)
    const to = start + count
    share.take(readFactor * sizes.slice(0, count).reduce((sum, size) => sum + size, 0))
    const entries = await readPublishedEntries(publishedLog(server, checkpoint), start + 1, to)
    return {
      entries: entries.map(({ leaf, payload }) => ({ leaf_input: formatBase64(leaf), extra_data: textOf(payload) })),
    }
  })
}

async function answerEntryAndProof(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  const { tree_size, leaf_index: index } = readKnownQuery(c, entryAndProofQuery)
  const checkpoint = await publishedUpTo(server, tree_size, deadline)
  if (tree_size > checkpoint.treeSize) throw malformed('tree_size', aboveTree(checkpoint))
  const size = asTreeSize(tree_size)
  if (index >= size) throw malformed('leaf_index', `is not below tree_size ${size}`)
  return answerRead(server, c, deadline, cacheControl(server, immutable), async (share) => {
    const { log, entries } = server
    const [bytes = 0] = await entries.readPayloadSizes(index + 1, index + 1)
    share.take(readFactor * bytes)
    const [found] = await readPublishedEntries(publishedLog(server, checkpoint), index + 1, index + 1)
    if (found === undefined) throw new Error(`entry ${index + 1} was read and is not there`)
    const path = await log.proofs.proveAt(asLeafIndex(index), size, checkpoint)
    const { leaf, payload } = found
    return { leaf_input: formatBase64(leaf), extra_data: textOf(payload), audit_path: path.map(nativeBase64) }
  })
}

function cacheControl(server: Server, age: string): string {
  return `${server.publicEntries ? 'public' : 'private'}, ${age}`
}

function aboveTree({ treeSize }: StoredCheckpoint): string {
  return `is above the tree size ${treeSize} of the newest signed tree head`
}

function textOf({ bytes, start, end }: { bytes: Uint8Array; start: number; end: number }): string {
  return formatBase64(bytes.subarray(start, end))
}
