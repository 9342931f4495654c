const quote = 0x22
const backslash = 0x5c
const comma = 0x2c

/**
 * Position behind the JSON value at `start`, found by its brackets and quotes alone: what stands between them is not
 * looked at, and may be no JSON. -1 where the text ends inside it. Costs neither memory nor stack.
 */
export function skipValue(bytes: Uint8Array, start: number, end: number): number {
  let depth = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte === quote) {
      at = closingQuote(bytes, at + 1, end)
      if (depth === 0) return at < end ? at + 1 : -1
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++
    } else if (byte === 0x7d || byte === 0x5d) {
      if (depth === 0) return at
      if (--depth === 0) return at + 1
    } else if (byte === comma && depth === 0) {
      return at
    }
  }
  return -1
}

/** Position of the quote that ends a string, or `end`. */
function closingQuote(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1
  return Math.min(at, end)
}
