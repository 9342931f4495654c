import type { Finding, RowFinding, TreeFinding } from './finding.ts'

/** One sentence about a finding, without anything that an entry says. */
export function describeFinding(finding: Finding): string {
  switch (finding.kind) {
    case 'GAP_IN_SEQUENCE':
      return finding.isRepeated
        ? `${entriesOf(finding)}: there is more than one row of this number`
        : `${entriesOf(finding)}: no row`
    case 'CHAIN_HASH_BROKEN':
      return `${entriesOf(finding)}: previous_hash is ${finding.previousHash}, current_hash of the row before is ${finding.predecessorsHash}`
    case 'PAYLOAD_CORRUPT':
      return `${entriesOf(finding)}: ${finding.fields} altered: ${computedText('chain hash', finding.chainHash)}, current_hash is ${finding.chainHash.stored}`
    case 'GENESIS_TAMPER':
      return finding.isMissing ? 'entry 1: no row' : `entry 1: previous_hash is ${finding.previousHash}, not 64 zeros`
    case 'LEAF_MISMATCH':
      return `${entriesOf(finding)}: ${finding.fields} altered: ${computedText('leaf hash', finding.leafHash)}, leaf_hash is ${finding.leafHash.stored}, the tile has ${finding.leafHash.tile}`
    case 'KNOWN_IDS_MISMATCH':
      return describeId(finding)
    case 'IDEMPOTENCY_CONFLICT':
      return `${entriesOf(finding)}: has id ${finding.eventId}, as entry ${finding.otherSequenceNumber} has`
    case 'CLOCK_BACKWARDS':
      return 'checkpoint' in finding
        ? `checkpoint ${finding.checkpoint}: signed at ${timeOf(finding.timestampMs)}, the one before at ${timeOf(finding.predecessorsTimestampMs)}`
        : `${entriesOf(finding)}: of ${finding.timestamp} us, the entry before of ${finding.predecessorsTimestamp} us`
    default:
      return describeTree(finding)
  }
}

type OnlyTree = Exclude<TreeFinding, { readonly kind: 'KNOWN_IDS_MISMATCH' | 'CLOCK_BACKWARDS' }>

function describeTree(finding: OnlyTree): string {
  switch (finding.kind) {
    case 'TILE_MISMATCH':
      return `tile ${finding.index} of level ${finding.level}: ${tileProblems[finding.problem]}`
    case 'ROOT_MISMATCH':
      return describeRoot(finding)
    case 'FORGED_HEAD':
      return `head of size ${finding.treeSize}: ${finding.reason}`
    case 'UNSEALED_ROWS':
      return `${entriesOf(finding)}: ${finding.count} rows above the newest head that may be believed`
    case 'HEAD_TRUNCATED':
      return `the log ends at entry ${finding.treeSize}; a ${finding.knownBy} knows ${finding.knownSize}`
    case 'FORKED':
      return `tree of size ${finding.treeSize}: its root is ${finding.computed}; ${finding.knownBy} knows ${finding.known}`
    case 'ROLLBACK':
      return `the log has ${finding.treeSize} entries; ${finding.knownBy} knows ${finding.knownSize}`
    case 'SIGNER_MEMORY_MISSING': {
      const known = finding.knownBy === null ? '' : `; ${finding.knownBy} knows ${finding.knownSize} entries`
      return `${finding.place}: the signer's memory is not there${known}`
    }
    case 'SIGNER_MEMORY_STALE':
      return `the signer's memory is of ${finding.treeSize} entries at ${timeOf(finding.timestampMs)}, older than what was signed: ${describeLater(finding)}`
    case 'SIGNATURE_INVALID':
      return `checkpoint ${finding.checkpoint}: ${finding.reason}`
    case 'ANCHOR_INVALID':
      return `anchor ${finding.anchor} of checkpoint ${finding.checkpoint}: ${finding.reason}`
    case 'COSIGNATURE_INVALID':
      return `cosignature of checkpoint ${finding.checkpoint} by ${finding.witness}: ${finding.reason}`
    case 'CHECKPOINT_MISSING': {
      const { checkpoint, lastCheckpoint, knownBy } = finding
      const which =
        checkpoint === lastCheckpoint
          ? `checkpoint ${checkpoint} is`
          : `checkpoints ${checkpoint} to ${lastCheckpoint} are`
      return `${which} not there, as ${knownBy} would have it`
    }
    case 'SCHEMA_TAMPERED':
      return `${finding.object}: ${finding.reason}`
  }
}

function describeLater({
  knownBy,
  knownSize,
  knownTimestampMs,
}: Extract<TreeFinding, { readonly kind: 'SIGNER_MEMORY_STALE' }>): string {
  return `${knownBy} is of ${knownSize} entries${knownTimestampMs === null ? '' : ` at ${timeOf(knownTimestampMs)}`}`
}

/** Whoever wrote to the database may have put any number there. */
function timeOf(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString()
}

function describeRoot(finding: Extract<TreeFinding, { readonly kind: 'ROOT_MISMATCH' }>): string {
  if (finding.of === 'entries') {
    return `${entriesOf(finding)}: written anew: they agree with themselves, but the tree has other leaves (${finding.tile} instead of ${finding.leafHash})`
  }
  const { of, treeSize, lastTreeSize, differs, computed, stored } = finding
  const which =
    treeSize === lastTreeSize ? `${of} of size ${treeSize}` : `${of}s of sizes ${treeSize} to ${lastTreeSize}`
  const place = `${which}, wrong from ${entriesOf(finding)} on`
  return `${place}: its ${differs} by the rows is ${computed}, stored is ${stored}`
}

const tileProblems = {
  missing: 'is not there',
  altered: 'has other hashes than the tree',
  'mid roots altered': 'has other nodes half-way up than its hashes make',
  'not full': 'is stored, but not full in the tree',
} as const

function describeId(finding: Extract<Finding, { readonly kind: 'KNOWN_IDS_MISMATCH' }>): string {
  if (!('sequenceNumber' in finding))
    return `id ${finding.eventId}: is known of entry ${finding.knownAs}, which has it not`
  const { eventId, knownAs } = finding
  return `${entriesOf(finding)}: its id ${eventId} is ${knownAs === null ? 'not known' : `known of entry ${knownAs}`}`
}

function computedText(
  what: string,
  { computed, reason }: { readonly computed: string | null; readonly reason?: string },
): string {
  return computed === null
    ? `no ${what} can be made (${reason ?? 'unreadable'})`
    : `${what} of the columns is ${computed}`
}

function entriesOf({
  sequenceNumber,
  lastSequenceNumber,
}: Pick<RowFinding, 'sequenceNumber' | 'lastSequenceNumber'>): string {
  return sequenceNumber === lastSequenceNumber
    ? `entry ${sequenceNumber}`
    : `entries ${sequenceNumber} to ${lastSequenceNumber}`
}
