const textLengthMax = 45
const ipv6Groups = 8
// Four octets in their one decimal spelling: elsewhere 010 means eight.
const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const ipv4 = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`)
const ipv6Group = /^[0-9A-Fa-f]{1,4}$/

/** Whether `text` is an IPv4 or IPv6 address (RFC 4291 2.2; any case, embedded IPv4) of at most 45 characters, no zone. */
export function isIpAddress(text: string): boolean {
  if (text.length > textLengthMax) return false
  return text.includes(':') ? isIpv6(text) : isIpv4(text)
}

function isIpv4(text: string): boolean {
  return ipv4.test(text)
}

function isIpv6(text: string): boolean {
  const gap = text.indexOf('::')
  if (gap < 0) return countGroups(text, true) === ipv6Groups
  if (text.includes('::', gap + 1)) return false
  // The gap stands for one group of zeros or more.
  return countGroups(text.slice(0, gap), false) + countGroups(text.slice(gap + 2), true) < ipv6Groups
}

// Groups of 16 bits in a run without a gap, an IPv4 address at its end being two; infinite where the run is none.
function countGroups(run: string, mayEndInIpv4: boolean): number {
  if (run === '') return 0
  const groups = run.split(':')
  const last = groups.at(-1) ?? ''
  const endsInIpv4 = mayEndInIpv4 && last.includes('.') && isIpv4(last)
  if (endsInIpv4) groups.pop()
  if (!groups.every(isGroup)) return Number.POSITIVE_INFINITY
  return groups.length + (endsInIpv4 ? 2 : 0)
}

function isGroup(text: string): boolean {
  return ipv6Group.test(text)
}
