// What is known of the log outside of its database, asked in an order in which nobody can honestly know less than whoever
// was asked before: the newest stored checkpoint, then everybody else, then the signer's memory, which is written before
// a signature leaves the process. Heads and rows are read after all of them.
import { loggableMessage } from '../ops/describe-error.ts'
import { readNewestCheckpoints } from '../store/audit-reads.ts'
import type { Schema } from '../store/batch.ts'
import type { StoredCheckpoint } from '../store/checkpoints.ts'
import type { Query } from '../store/session.ts'
import type { SignatureReview } from './checkpoint-check.ts'
import type { TreeFinding } from './finding.ts'
import { type KnownHead, nameOfKnower } from './outside-check.ts'

/** Somebody who knows the log from outside of its database. */
export type OutsideSource = {
  /** For people: "the folder of tile files". */
  readonly name: string
  /** Whether what it knows was signed: then the signer, who is asked later, knows as much. */
  readonly isSigned: boolean
  /** Rejects where it cannot be asked. */
  readonly read: () => Promise<Remembered>
}

/** No heads where nothing is known. `unread`: what of it could not be read, and why, beside what could. */
export type Remembered = { readonly heads: readonly KnownHead[]; readonly unread?: readonly string[] }

/** The signer's memory. A log that was made has one. */
export type SignerMemory = {
  /** Where it is, without secrets. */
  readonly place: string
  /** Undefined where there is none. Rejects where it cannot be asked. */
  readonly read: () => Promise<StoredCheckpoint | undefined>
}

/** All who are asked. Without `memory`, that of a log whose folder is not at hand. */
export type OutsideSources = {
  readonly sources: readonly OutsideSource[]
  readonly memory: SignerMemory | undefined
}

/** What they answered. */
export type Outside = {
  readonly known: readonly KnownHead[]
  /** What is wrong with the signer's memory. */
  readonly findings: readonly TreeFinding[]
  /** Who could not be asked, and why: that is no finding, and not nothing. */
  readonly notAsked: readonly string[]
}

/** Asks them; `stored` is the newest checkpoint of the database that the log signed, and was read before. */
export type AskOutside = (stored: StoredCheckpoint | undefined) => Promise<Outside>

/** Asks all sources, and the memory last. Rejects where the memory cannot be asked. */
export async function askOutside(
  { sources, memory }: OutsideSources,
  review: SignatureReview,
  stored: StoredCheckpoint | undefined,
): Promise<Outside> {
  const known: KnownHead[] = []
  const signed: KnownHead[] = []
  const notAsked: string[] = []
  for (const source of sources) {
    try {
      const { heads, unread = [] } = await source.read()
      known.push(...heads)
      if (source.isSigned) signed.push(...heads)
      notAsked.push(...unread.map((reason) => `${source.name}: ${reason}`))
    } catch (error) {
      notAsked.push(`${source.name}: ${error instanceof Error ? loggableMessage(error) : 'no reason'}`)
    }
  }
  if (memory === undefined) return { known, findings: [], notAsked }
  const last = await memory.read()
  const largest = largestOf([...signed, ...(stored === undefined ? [] : [headOf(stored)])])
  if (last === undefined) return { known, findings: [missing(memory, largest)], notAsked }
  const { treeSize, root, number } = last
  known.push({ treeSize, root, checkpoint: number, knownBy: "the signer's memory" })
  return { known, findings: checkMemory(last, stored, largest, review), notAsked }
}

/** Looked at for one that the log signed. */
const newestMax = 20

/** The newest stored checkpoint that the log signed; undefined where there is none, or no key to tell. */
export async function readNewestSigned(
  query: Query,
  schema: Schema,
  review: SignatureReview,
): Promise<StoredCheckpoint | undefined> {
  if (review === undefined) return undefined
  for (const found of await readNewestCheckpoints(query, schema, newestMax)) {
    if (found.kind === 'read' && review(found.value) === undefined) return found.value
  }
  return undefined
}

function missing({ place }: SignerMemory, largest: KnownHead | undefined): TreeFinding {
  const by = largest === undefined ? null : nameOfKnower(largest)
  return { kind: 'SIGNER_MEMORY_MISSING', place, knownSize: largest?.treeSize ?? null, knownBy: by }
}

/** Sizes and times are what signatures are of; numbers of checkpoints are not. */
function checkMemory(
  last: StoredCheckpoint,
  stored: StoredCheckpoint | undefined,
  largest: KnownHead | undefined,
  review: SignatureReview,
): TreeFinding[] {
  const { number, treeSize, timestampMs } = last
  const findings: TreeFinding[] = []
  const reason = review?.(last)
  if (reason !== undefined) {
    findings.push({ kind: 'SIGNATURE_INVALID', checkpoint: number, treeSize, reason: `the signer's memory: ${reason}` })
  }
  const stale = { kind: 'SIGNER_MEMORY_STALE', treeSize, timestampMs } as const
  if (stored !== undefined && stored.timestampMs > timestampMs) {
    const { treeSize: knownSize, timestampMs: knownTimestampMs } = stored
    findings.push({ ...stale, knownSize, knownTimestampMs, knownBy: nameOfKnower(headOf(stored)) })
  } else if (largest !== undefined && largest.treeSize > treeSize) {
    const knownBy = nameOfKnower(largest)
    findings.push({ ...stale, knownSize: largest.treeSize, knownTimestampMs: null, knownBy })
  }
  return findings
}

function headOf({ number, treeSize, root }: StoredCheckpoint): KnownHead {
  return { treeSize, root, knownBy: `checkpoint ${number} of the database` }
}

function largestOf(heads: readonly KnownHead[]): KnownHead | undefined {
  return heads.reduce<KnownHead | undefined>(
    (largest, head) => (largest !== undefined && largest.treeSize >= head.treeSize ? largest : head),
    undefined,
  )
}
