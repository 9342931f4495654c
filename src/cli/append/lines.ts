/** A line of the input. */
export type Line = {
  /** Counted from 1. */
  readonly number: number
  /** Without its newline; undefined where it is longer than may be sent. */
  readonly bytes: Uint8Array | undefined
  /** Offset in the input behind the line and its newline. */
  readonly end: number
}

/** Where reading begins: so many bytes and lines are done. */
export type Place = { readonly offset: number; readonly line: number }

const newline = 0x0a

/**
 * Cuts what `source` gives from `place` on into lines; the last one may lack its newline. Of a line longer than
 * `lineBytesMax` nothing is kept, so that memory is bounded whatever the input is.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  place: Place,
  lineBytesMax: number,
): AsyncGenerator<Line, void> {
  let { offset, line } = place
  let parts: Uint8Array[] = []
  let length = 0
  const take = (): Line => {
    const bytes = length > lineBytesMax ? undefined : Buffer.concat(parts)
    parts = []
    length = 0
    line += 1
    return { number: line, bytes, end: offset }
  }
  const add = (part: Uint8Array): void => {
    length += part.length
    offset += part.length
    if (length <= lineBytesMax) parts.push(part)
    else parts = []
  }
  for await (const chunk of source) {
    let start = 0
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, start)) {
      add(chunk.subarray(start, at))
      offset += 1
      start = at + 1
      yield take()
    }
    if (start < chunk.length) add(chunk.subarray(start))
  }
  if (length > 0) yield take()
}
