import { type BundleEntry, type BundleHead, type BundleKey, encodeBundle } from '../../tlog/bundle.ts'
import { parseBase64 } from '../../tlog/bytes.ts'
import { asLeafIndex, asTreeSize } from '../../tlog/coords.ts'
import type { Sha256 } from '../../tlog/hash.ts'
import { decodeLogEvidence, isInLog, isStamp } from '../anchor/evidence.ts'
import type { PublishedCheckpoint, Witnessing } from '../log/cosigned.ts'
import type { Log } from '../log/log.ts'
import { type PublishedLog, readEntriesByNumber } from '../log/published-entries.ts'
import { readCosigned } from '../log/witnessed-checkpoints.ts'
import { readAnchorsOf, readFirstAnchored } from '../store/anchors.ts'
import type { Schema } from '../store/batch.ts'
import { readCheckpointsAfter } from '../store/checkpoints.ts'
import { entryReads } from '../store/entries.ts'
import type { Query } from '../store/session.ts'
import { stampWithRenewals } from './renewals.ts'

export type BundleSource = {
  /** Under the newest checkpoint that may be shown. */
  readonly log: PublishedLog
  /** The auditors' login. */
  readonly query: Query
  readonly schema: Schema
  readonly witnesses: Pick<Witnessing, 'hold'> | undefined
  /** The newest that the quorum has cosigned. */
  readonly witnessed: PublishedCheckpoint | undefined
  readonly published: PublishedCheckpoint
  readonly keys: readonly BundleKey[]
  /** SPKI, base64. */
  readonly sthPublicKey: string
}

/** The source of a log's bundles, at this moment. */
export function bundleSourceOf(
  { checkpoints, tiles, proofs, reader }: Pick<Log, 'checkpoints' | 'tiles' | 'proofs' | 'reader'>,
  { vkey, sthPublicKey }: { readonly vkey: string; readonly sthPublicKey: string },
  { schema, witnesses, hash }: Pick<BundleSource, 'schema' | 'witnesses'> & { readonly hash: Sha256 },
): BundleSource {
  const { published, witnessed } = checkpoints
  const { query } = reader
  return {
    log: { reads: entryReads(query, schema), tiles, proofs, checkpoint: published, hash },
    ...{ query, schema, witnesses, witnessed, published, sthPublicKey },
    keys: [{ vkey, from: 0, until: null }],
  }
}

/** Anchors of the heads of one bundle. */
const anchorsMax = 64
/** Authorities whose first stamps are given, each of a head of its own at worst. */
const stampedHeadsMax = 8

/**
 * The evidence bundle of published entries: under the first checkpoints that cover all of them and that authorities have
 * stamped, since the first stamp says the most, and the newest that the witnesses have cosigned. Throws DamagedEntry and
 * TlogError where an entry or a tile is not what was signed.
 */
export async function makeBundle(
  source: BundleSource,
  sequenceNumbers: readonly number[],
  withPayloads: boolean,
): Promise<Uint8Array> {
  const { log } = source
  const size = Math.max(...sequenceNumbers)
  const checkpoints = await chooseHeads(source, size)
  const first = checkpoints[0] as PublishedCheckpoint
  const read = await readEntriesByNumber(log, sequenceNumbers)
  const entries = await Promise.all(
    read.map(async ({ entry }): Promise<BundleEntry> => {
      const leafIndex = entry.sequenceNumber - 1
      const { bytes, start, end } = entry.payload
      return {
        ...{ leafIndex, leaf: entry.leaf },
        path: await log.proofs.proveAt(asLeafIndex(leafIndex), asTreeSize(first.treeSize), log.checkpoint),
        payload: withPayloads ? bytes.subarray(start, end) : undefined,
      }
    }),
  )
  const heads = await headsOf(source, checkpoints)
  const said = { entries, heads, keys: source.keys, sthKey: parseBase64(source.sthPublicKey) }
  return encodeBundle(said, log.hash)
}

/** In order of their sizes, each size once. */
async function chooseHeads(source: BundleSource, size: number): Promise<readonly PublishedCheckpoint[]> {
  const { query, schema, witnesses, witnessed, published } = source
  const numbers = (await readFirstAnchored(query, schema, size)).slice(0, stampedHeadsMax)
  const chosen: PublishedCheckpoint[] = []
  for (const number of numbers.filter((each) => each <= published.number)) {
    const [checkpoint] = await readCheckpointsAfter(query, schema, number - 1, 1)
    if (checkpoint?.number !== number) continue
    const cosigned = witnesses && (await readCosigned(query, schema, witnesses, checkpoint)).checkpoint
    chosen.push(cosigned ?? { ...checkpoint, cosignatures: '' })
  }
  const newest = witnessed !== undefined && witnessed.treeSize >= size ? witnessed : published
  return [...chosen, newest]
    .toSorted((a, b) => a.treeSize - b.treeSize)
    .filter(({ treeSize }, i, all) => treeSize > (all[i - 1]?.treeSize ?? 0))
}

async function headsOf(
  { log, query, schema }: BundleSource,
  checkpoints: readonly PublishedCheckpoint[],
): Promise<readonly BundleHead[]> {
  const numbers = checkpoints.map(({ number }) => number)
  const anchors = await readAnchorsOf(query, schema, numbers, anchorsMax)
  return Promise.all(
    checkpoints.map(async ({ number, treeSize, note, cosignatures, timestampMs, sthSignature }, i) => {
      const before = asTreeSize(checkpoints[i - 1]?.treeSize ?? 0)
      const mine = anchors.filter((anchor) => anchor.checkpointNumber === number)
      return {
        ...{ note, cosignatures, sth: { timestampMs, signature: sthSignature } },
        extension: await log.proofs.proveConsistency(before, asTreeSize(treeSize), log.checkpoint),
        stamps: await Promise.all(mine.filter(isStamp).map((each) => stampWithRenewals(query, schema, each))),
        logs: mine.filter(isInLog).map(({ evidence }) => decodeLogEvidence(evidence)),
      }
    }),
  )
}
