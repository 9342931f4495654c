import { formatBase64 } from '../../../tlog/bytes.ts'
import { entryMembers } from '../../../tlog/entry-members.ts'
import { formatMicroseconds } from '../../../tlog/time.ts'
import { quoteText, visibleText } from '../command.ts'
import { bundleJson, describeBundle } from './bundle.ts'
import { leafHashOf, type Proved, type Result } from './result.ts'

// What a check found, for people and for programs.

const nothingKnown = {
  ...{ origin: null, treeSize: null, root: null, leafIndex: null },
  ...{ leafHash: null, entry: null, isOwnAct: null, consistency: null, cosigned: null, bundle: null },
}

/** Always the same members; what is not known is null. */
export function resultJson(result: Result): Readonly<Record<string, unknown>> {
  if (result.kind !== 'holds') {
    const { kind, code, detail } = result
    return { holds: kind === 'unknown' ? null : false, code, detail, ...nothingKnown }
  }
  const { proved } = result
  const { origin, size, root } = proved.checkpoint
  const leaf = leafHashOf(proved)
  const place = {
    ...{ origin, treeSize: size, root: formatBase64(root) },
    leafIndex: leafIndexOf(proved),
    leafHash: leaf === undefined ? null : formatBase64(leaf),
  }
  const cosigned = result.cosigned?.map(({ witness, timeS }) => ({ witness, at: timeOf(timeS) })) ?? null
  const bundle = proved.kind === 'bundle' ? bundleJson(proved) : null
  const said =
    proved.kind === 'entry'
      ? { entry: entryMembers(proved.fields), isOwnAct: proved.isOwnAct }
      : { entry: null, isOwnAct: null }
  const others = { consistency: consistencyOf(proved), cosigned, bundle }
  return { holds: true, code: null, detail: null, ...place, ...said, ...others }
}

/** A result as lines. */
export function describeResult(result: Result): string {
  if (result.kind !== 'holds') {
    const { kind, code, detail } = result
    return `${kind === 'unknown' ? 'could not check' : 'does NOT hold'}: ${code}: ${visibleText(detail)}`
  }
  const witnessed = (result.cosigned ?? []).map(({ witness, timeS }) => `${visibleText(witness)} at ${timeOf(timeS)}`)
  const proved = describeProved(result.proved)
  return witnessed.length === 0 ? proved : `${proved}\n  cosigned by ${witnessed.join(', ')}: the quorum of the policy`
}

function describeProved(proved: Proved): string {
  if (proved.kind === 'bundle') return describeBundle(proved)
  const { size, origin } = proved.checkpoint
  const signed = `the tree of size ${size} that ${quoteText(origin)} signed`
  if (proved.kind === 'consistency') {
    return `holds: the first ${proved.to} entries of ${signed} begin with the ${proved.from} that have the root ${formatBase64(proved.fromRoot)}`
  }
  if (proved.kind === 'leaf') {
    const within = proved.treeSize === size ? '' : `the first ${proved.treeSize} entries of `
    return `holds: a leaf with the hash ${formatBase64(proved.leafHash)} stands at index ${proved.leafIndex} of ${within}${signed}`
  }
  const { sequenceNumber, action, actorId, resource, timestamp, occurredAt, writer } = proved.fields
  const claimed = occurredAt === null ? '' : `, said to have occurred ${formatMicroseconds(occurredAt)}`
  return `holds: entry ${sequenceNumber} ${quoteText(action)} on ${quoteText(resource)} by ${quoteText(actorId)}
  logged ${formatMicroseconds(timestamp)} for ${quoteText(writer)}${claimed}${proved.isOwnAct ? ownAct : ''}
  stands at index ${sequenceNumber - 1} of ${signed}`
}

/** RFC 3339, by the witness's clock. */
function timeOf(timeS: number | undefined): string | null {
  return timeS === undefined ? null : formatMicroseconds(timeS * 1_000_000)
}

const ownAct = '\n  an act of the log itself, signed by it'

function leafIndexOf(proved: Proved): number | null {
  if (proved.kind === 'consistency' || proved.kind === 'bundle') return null
  return proved.kind === 'leaf' ? proved.leafIndex : proved.fields.sequenceNumber - 1
}

function consistencyOf(proved: Proved): Readonly<Record<string, unknown>> | null {
  if (proved.kind !== 'consistency') return null
  const { from, fromRoot, to, toRoot } = proved
  return { from, fromRoot: formatBase64(fromRoot), to, toRoot: formatBase64(toRoot) }
}
