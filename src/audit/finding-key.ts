import { encodeUtf8, formatHex } from '../../tlog/bytes.ts'
import { digest } from '../../tlog/hash.ts'
import type { Finding } from './finding.ts'

/** What makes two findings of different rounds the same: what is wrong, and where. One that has grown is another one. */
export function keyOf(finding: Finding): string {
  return `${finding.kind} ${placeOf(finding)}`
}

function placeOf(finding: Finding): string {
  if ('eventId' in finding) return finding.eventId
  if ('of' in finding && finding.of !== 'entries') return `${finding.of} ${finding.treeSize}`
  if ('anchor' in finding) return `checkpoint ${finding.checkpoint} ${finding.anchor}`
  if ('witness' in finding) return `checkpoint ${finding.checkpoint} ${finding.witness}`
  if ('checkpoint' in finding) return `checkpoint ${finding.checkpoint}`
  if ('object' in finding) return `${finding.object} ${formatHex(digest(encodeUtf8(finding.reason))).slice(0, 8)}`
  if ('level' in finding) return `tile ${finding.level}/${finding.index}`
  if ('knownSize' in finding && finding.kind === 'ROLLBACK') return `${finding.knownBy} ${finding.knownSize}`
  if (finding.kind === 'SIGNER_MEMORY_MISSING') return 'memory'
  if ('lastSequenceNumber' in finding && finding.lastSequenceNumber !== finding.sequenceNumber) {
    return `entries ${finding.sequenceNumber} to ${finding.lastSequenceNumber}`
  }
  if ('sequenceNumber' in finding) return `entry ${finding.sequenceNumber}`
  return `size ${finding.treeSize}`
}
