// Names of WAL segments: timeline, and number of the segment in two halves, eight hexadecimal digits each.

const segmentName = /^[0-9A-F]{24}$/

/** Whether a file of pg_wal is a segment, or tells where a timeline began. */
export function isHistory(name: string): boolean {
  return /^[0-9A-F]{8}\.history$/.test(name)
}

/** Names of the segments from one to another, both included, of one timeline. Throws where they are none. */
export function segmentsBetween(first: string, last: string, segmentBytes: number): readonly string[] {
  const [from, to] = [numberOf(first, segmentBytes), numberOf(last, segmentBytes)]
  const timeline = first.slice(0, 8)
  if (timeline !== last.slice(0, 8) || to < from) throw new Error(`WAL from ${first} to ${last}: is no range`)
  return Array.from({ length: to - from + 1 }, (_, i) => nameOf(timeline, from + i, segmentBytes))
}

/** 4 GiB of WAL are one step of the upper half. */
function perUpper(segmentBytes: number): number {
  return 2 ** 32 / segmentBytes
}

function numberOf(name: string, segmentBytes: number): number {
  if (!segmentName.test(name)) throw new Error(`WAL segment: got ${JSON.stringify(name)}`)
  return Number.parseInt(name.slice(8, 16), 16) * perUpper(segmentBytes) + Number.parseInt(name.slice(16), 16)
}

function nameOf(timeline: string, n: number, segmentBytes: number): string {
  const half = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  const lower = n % perUpper(segmentBytes)
  return timeline + half((n - lower) / perUpper(segmentBytes)) + half(lower)
}
