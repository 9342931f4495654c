import { asTreeSize } from '../../tlog/coords.ts'
import { settleWithin } from '../ops/time-out.ts'
import type { Schema } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import { insertCosignatures } from '../store/cosignatures.ts'
import type { Pool, Query } from '../store/session.ts'
import { type Gatherer, type PublishedCheckpoint, type Witnessing, withoutCosignatures } from './cosigned.ts'
import { checkSigned } from './follow-checkpoints.ts'
import type { LogOptions } from './log-options.ts'
import type { Publisher } from './publisher.ts'
import type { TreeProofs } from './tree-proofs.ts'
import { type CheckSigned, readCosigned, readNewestWitnessed } from './witnessed-checkpoints.ts'

/** A log that ends waits so long for cosignatures of what it signed last. */
const lastWaitMs = 3_000

type Parts = {
  readonly publisher: Publisher
  readonly proofs: TreeProofs
  /** Of the signer: nobody else may insert cosignatures. */
  readonly signer: Pool
  readonly schema: Schema
}

/** A log's side of its witnesses: what it signs is offered to them while it leads. */
export class Cosigning {
  readonly #publisher: Publisher
  readonly #gatherer: Gatherer

  constructor(witnessing: Witnessing, { publisher, proofs, signer, schema }: Parts) {
    this.#publisher = publisher
    this.#gatherer = witnessing.gather({
      prove: (from, checkpoint) => proofs.proveConsistency(from, asTreeSize(checkpoint.treeSize), checkpoint),
      store: (cosignatures) => insertCosignatures(signer.query, schema, cosignatures),
      onGathered: (checkpoint, isQuorum) => publisher.noteCosigned(checkpoint, isQuorum),
    })
  }

  /** Before anything is sequenced or signed: throws LogIncident as `Gatherer.checkFirst`. */
  async begin(last: StoredCheckpoint): Promise<void> {
    await this.#gatherer.checkFirst(last)
    this.#gatherer.offer(last)
  }

  offer(checkpoint: StoredCheckpoint): void {
    this.#gatherer.offer(checkpoint)
  }

  /** Gathers while `work` goes on, and a moment longer where somebody waits for what was signed last. */
  async during(work: Promise<void>): Promise<void> {
    const stop = new AbortController()
    const gathering = this.#gatherer.run(stop.signal)
    try {
      await work
      await settleWithin(lastWaitMs, 'witnesses', this.#publisher.settled()).catch(() => {})
    } finally {
      stop.abort()
      await gathering
    }
  }
}

/** What of a log is published when it opens, where the signer remembers `last`. */
export async function readPublished(
  { origin, keys, schema, witnessing }: Pick<LogOptions, 'origin' | 'keys' | 'schema' | 'witnessing'>,
  query: Query,
  last: StoredCheckpoint,
): Promise<PublishedCheckpoint> {
  if (witnessing === undefined) return withoutCosignatures(last)
  if (!witnessing.isAwaited) return (await readCosigned(query, schema, witnessing, last)).checkpoint
  // Before the first quorum ever there is nothing better than what the log said without witnesses.
  const check: CheckSigned = (checkpoint) => checkSigned({ origin, keys }, checkpoint)
  const witnessed = await readNewestWitnessed(query, schema, witnessing, check, { first: 0, last: last.number })
  return witnessed ?? withoutCosignatures(last)
}
