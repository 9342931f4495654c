import type { Context, Hono } from 'hono'
import { Unavailable } from '../../src/log/incident.ts'
import { proveConsistency } from '../../src/log/proofs.ts'
import { countThatFits, payloadsBytesMax, readPublishedEntries } from '../../src/log/published-entries.ts'
import type { StoredCheckpoint } from '../../src/store/checkpoints.ts'
import { equalBytes, formatBase64, parseBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize, type TreeSize } from '../../tlog/coords.ts'
import { TlogError } from '../../tlog/errors.ts'
import { asHash, type Hash } from '../../tlog/hash.ts'
import { answerRead, publishedLog, readFactor, requireReader } from '../answer-read.ts'
import { openToBrowsers } from '../cors.ts'
import { deadlineIn } from '../deadline.ts'
import { malformed, readDecimal, readQuery } from '../parameters.ts'
import { Problem } from '../problem.ts'
import type { Env, Server } from '../server.ts'

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
  app.get('/ct/v1/get-sth', (c) => c.json(sthOf(server), 200, { 'cache-control': 'no-store' }))
  app.get('/ct/v1/get-sth-consistency', (c) => answerConsistency(server, c))
  app.get('/ct/v1/get-proof-by-hash', (c) => answerProofByHash(server, c))
  app.get('/ct/v1/get-entries', (c) => answerEntries(server, c))
  app.get('/ct/v1/get-entry-and-proof', (c) => answerEntryAndProof(server, c))
  // Entries are not certificates: there is nothing that they would have to lead to.
  app.get('/ct/v1/get-roots', (c) => c.json({ certificates: [] }))
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
  const checkpoint = server.log.published
  const first = readDecimal(readQuery(c, 'first'), 'first')
  const second = readDecimal(readQuery(c, 'second'), 'second')
  if (first > second) throw malformed('first', `${first} is above second ${second}`)
  if (second > checkpoint.treeSize) throw malformed('second', aboveTree(second, checkpoint.treeSize))
  const proving = proveConsistency(server.log.tiles, asTreeSize(first), asTreeSize(second), checkpoint, server.hash)
  const hashes = await deadlineIn(server.times.answerMs).within(proving, notReadInTime)
  return c.json({ consistency: hashes.map(formatBase64) }, 200, { 'cache-control': `public, ${immutable}` })
}

/** The search tables say where a leaf is; that it is there, the proof says. */
async function answerProofByHash(server: Server, c: Context<Env>): Promise<Response> {
  const checkpoint = server.log.published
  const leaf = readHash(c, 'hash')
  const size = readDecimal(readQuery(c, 'tree_size'), 'tree_size')
  if (size < 1) throw malformed('tree_size', 'want 1 or more')
  if (size > checkpoint.treeSize) throw new Problem('not-found', aboveTree(size, checkpoint.treeSize))
  const { audit_path, leaf_index } = await deadlineIn(server.times.answerMs).within(
    proveByHash(server, leaf, asTreeSize(size), checkpoint),
    notReadInTime,
  )
  return c.json({ leaf_index, audit_path }, 200, { 'cache-control': `public, ${immutable}` })
}

async function proveByHash(
  { log, search }: Server,
  leaf: Hash,
  size: TreeSize,
  checkpoint: StoredCheckpoint,
): Promise<{ readonly leaf_index: number; readonly audit_path: readonly string[] }> {
  const number = await search.findLeaf(leaf, size)
  if (number === undefined) {
    if (search.position() >= size) throw new Problem('not-found', `no leaf of the first ${size} has this hash`)
    throw new Unavailable(`leaves are known by their hash up to ${search.position()} so far`)
  }
  const index = asLeafIndex(number - 1)
  const { leafHash } = await log.proofs.prove(index, checkpoint)
  if (!equalBytes(leafHash, leaf)) {
    throw new TlogError('leaf-mismatch', `entry ${number}: the search tables know it by another leaf hash`)
  }
  const path = await log.proofs.proveAt(index, size, checkpoint)
  return { leaf_index: index, audit_path: path.map(formatBase64) }
}

async function answerEntries(server: Server, c: Context<Env>): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  await requireReader(server, c, deadline)
  const checkpoint = server.log.published
  const { treeSize } = checkpoint
  const start = readDecimal(readQuery(c, 'start'), 'start')
  const end = readDecimal(readQuery(c, 'end'), 'end')
  if (start > end) throw malformed('start', `${start} is above end ${end}`)
  if (start >= treeSize) throw malformed('start', `${start} is not below the tree size ${treeSize}`)
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
  const checkpoint = server.log.published
  const size = readSize(c, checkpoint.treeSize)
  const index = readDecimal(readQuery(c, 'leaf_index'), 'leaf_index')
  if (index >= size) throw malformed('leaf_index', `${index} is not below tree_size ${size}`)
  return answerRead(server, c, deadline, cacheControl(server, immutable), async (share) => {
    const { log, entries } = server
    const [bytes = 0] = await entries.readPayloadSizes(index + 1, index + 1)
    share.take(readFactor * bytes)
    const [found] = await readPublishedEntries(publishedLog(server, checkpoint), index + 1, index + 1)
    if (found === undefined) throw new Error(`entry ${index + 1} was read and is not there`)
    const path = await log.proofs.proveAt(asLeafIndex(index), size, checkpoint)
    const { leaf, payload } = found
    return { leaf_input: formatBase64(leaf), extra_data: textOf(payload), audit_path: path.map(formatBase64) }
  })
}

function cacheControl(server: Server, age: string): string {
  return `${server.publicEntries ? 'public' : 'private'}, ${age}`
}

function readSize(c: Context<Env>, treeSize: number): TreeSize {
  const size = readDecimal(readQuery(c, 'tree_size'), 'tree_size')
  if (size < 1) throw malformed('tree_size', 'want 1 or more')
  if (size > treeSize) throw malformed('tree_size', aboveTree(size, treeSize))
  return asTreeSize(size)
}

/** Base64 of 32 bytes; a `+` that was not escaped arrives as a space, and is refused. */
function readHash(c: Context<Env>, parameter: string): Hash {
  const text = readQuery(c, parameter)
  if (text === undefined) throw malformed(parameter, 'is required')
  try {
    return asHash(parseBase64(text))
  } catch (error) {
    if (!(error instanceof TlogError)) throw error
    throw malformed(parameter, 'want the base64 of 32 bytes')
  }
}

function aboveTree(size: number, treeSize: number): string {
  return `${size} is above the tree size ${treeSize} of the newest signed tree head`
}

function textOf({ bytes, start, end }: { bytes: Uint8Array; start: number; end: number }): string {
  return formatBase64(bytes.subarray(start, end))
}
