import { encodeUtf8, equalBytes, formatHex } from '../../tlog/bytes.ts'
import { chainText } from '../../tlog/chain.ts'
import { TlogError } from '../../tlog/errors.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import type { TreeHead } from '../store/batch.ts'
import type { StoredEntry } from '../store/entries.ts'
import { Arena } from './arena.ts'
import { type Batch, integrate, type LogState } from './integrate.ts'
import { CannotRecover, type RollSource } from './roll-source.ts'
import { encodeSubmission, type Submission, type Utf8 } from './submission.ts'

/** Rows of one statement. */
const entriesAtOnce = 1_000

/**
 * The batch that a source's head is of, made anew from the columns of its rows upon `before`. Throws CannotRecover where
 * rows, head, or the link to `before` are not what they say: nothing of the source's own hashes is taken over.
 */
export async function readCopiedBatch(
  source: RollSource,
  before: LogState,
  head: TreeHead,
  hash: Sha256,
): Promise<Batch> {
  const { size } = before.edge
  if (head.previousSize !== size || !equalBytes(head.previousRoot, before.root)) {
    throw new CannotRecover(`the source's head of size ${head.treeSize} does not follow the ${size} entries before it`)
  }
  const rows: StoredEntry[] = []
  const submissions: Submission[] = []
  for (let from = size + 1; from <= head.treeSize; from += entriesAtOnce) {
    for (const row of await readRows(source, from, Math.min(head.treeSize, from + entriesAtOnce - 1))) {
      checkPlace(row, size + rows.length + 1, head)
      rows.push(row)
      submissions.push(submissionOf(row, hash))
    }
  }
  if (rows.length < head.treeSize - size) throw new CannotRecover(`the source has no entry ${size + rows.length + 1}`)
  const batch = integrate(before, submissions, head.newestTimestamp, hash)
  checkBatch(batch, rows, head)
  return batch
}

async function readRows(source: RollSource, from: number, to: number): Promise<readonly StoredEntry[]> {
  try {
    return await source.readEntries(from, to)
  } catch (cause) {
    if (!(cause instanceof RangeError || cause instanceof TypeError)) throw cause
    throw new CannotRecover(`an entry of ${from} to ${to} of the source was altered: ${cause.message}`, { cause })
  }
}

/** All entries of a commit have one time. */
function checkPlace({ fields }: StoredEntry, sequenceNumber: number, head: TreeHead): void {
  if (fields.sequenceNumber !== sequenceNumber) throw new CannotRecover(`the source has no entry ${sequenceNumber}`)
  if (fields.timestamp !== head.newestTimestamp) {
    throw new CannotRecover(`entry ${sequenceNumber} of the source was altered: its time is not that of its head`)
  }
}

/** By the row's columns alone. */
function submissionOf({ fields, payloadText }: StoredEntry, hash: Sha256): Submission {
  const payload: unknown = JSON.parse(payloadText)
  const jcsText = utf8(canonical(payload, fields.sequenceNumber))
  const { eventId, occurredAt, lamport, actorId, action, resource, clientIp, writer, sourcePosition } = fields
  return encodeSubmission(
    new Arena(jcsText.end),
    {
      ...{ eventId, clientMadeId: true, occurredAt, lamport, jcsText, chainText: utf8(chainText(payload)) },
      ...{ actorId: utf8(actorId), action: utf8(action), resource: utf8(resource), clientIp: utf8(clientIp) },
    },
    { writer: utf8(writer), sourcePosition: sourcePosition === null ? null : utf8(sourcePosition) },
    hash,
  )
}

/** What no client could submit is in no entry. */
function canonical(payload: unknown, sequenceNumber: number): string {
  try {
    return jcs(payload)
  } catch (cause) {
    if (!(cause instanceof TlogError)) throw cause
    throw new CannotRecover(`entry ${sequenceNumber} of the source was altered: ${cause.message}`, { cause })
  }
}

function checkBatch(
  { before, after, leafHashes, chainHashes }: Batch,
  rows: readonly StoredEntry[],
  head: TreeHead,
): void {
  rows.forEach(({ fields, leafHash }, i) => {
    const isLeaf = equalBytes(leafHashes.subarray(32 * i, 32 * (i + 1)), leafHash)
    const isChain = equalBytes(chainHashes.subarray(32 * (i + 1), 32 * (i + 2)), fields.currentHash)
    if (isLeaf && isChain) return
    const which = isLeaf ? 'chain hash' : 'leaf hash'
    throw new CannotRecover(`entry ${before.edge.size + i + 1} of the source was altered: its ${which} is another`)
  })
  const isHead =
    equalBytes(after.root, head.root) &&
    equalBytes(after.chainHash, head.chainHash) &&
    equalBytes(after.edge.frontier, head.frontier)
  if (isHead) return
  const roots = `they make the root ${formatHex(after.root)}, the head has ${formatHex(head.root)}`
  throw new CannotRecover(`the source's entries to ${head.treeSize} are not those of its head: ${roots}`)
}

function utf8(text: string): Utf8 {
  const bytes = encodeUtf8(text)
  return { bytes, start: 0, end: bytes.length }
}
