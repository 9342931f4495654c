import type { IncomingMessage } from 'node:http'
import { Problem } from './problem.ts'

/** Shippers and proxies together send some twenty. */
export const headerFieldsMax = 128

/**
 * What Node's parser lets through, and what it and a proxy before it may read differently: then one takes for a request
 * what the other takes for a body, or for another client's. Undefined where nothing is wrong.
 */
export function problemOfHead({
  httpVersionMajor,
  httpVersionMinor,
  headers,
  rawHeaders,
  url = '',
}: Head): Problem | undefined {
  // llhttp knows 0.9 and 2.0 as well, and reads them as 1.1.
  if (httpVersionMajor !== 1) return malformed('want HTTP/1.1 or HTTP/1.0')
  if (rawHeaders.length > 2 * headerFieldsMax) {
    return new Problem('headers-too-large', `a request may have ${headerFieldsMax} header fields`)
  }
  const repeated = findRepeated(rawHeaders)
  if (repeated !== undefined) return malformed(`${repeated} is given twice`)
  const coding = headers['transfer-encoding']
  // RFC 9112 6.1: in HTTP/1.0 its framing is faulty. Of `gzip, chunked` Node would undo the second only.
  if (coding !== undefined && (httpVersionMinor === 0 || coding.toLowerCase() !== 'chunked')) {
    return malformed('Transfer-Encoding: want chunked, in HTTP/1.1')
  }
  return isPlainTarget(url) ? undefined : malformed('the path has a dot segment, or a fragment follows it')
}

type Head = Pick<IncomingMessage, 'httpVersionMajor' | 'httpVersionMinor' | 'headers' | 'rawHeaders' | 'url'>

/** Of these Node takes the first and drops the others; RFC 9112 3.2 wants 400 for a second Host. */
const singular: ReadonlySet<string> = new Set(['host', 'authorization', 'content-type'])
const singularLengths: ReadonlySet<number> = new Set([...singular].map((name) => name.length))

function findRepeated(rawHeaders: readonly string[]): string | undefined {
  const seen: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const sent = rawHeaders[i] ?? ''
    // Most fields are none of these: their names are not made lower case.
    if (!singularLengths.has(sent.length)) continue
    const name = sent.toLowerCase()
    if (!singular.has(name)) continue
    if (seen.includes(name)) return name
    seen.push(name)
  }
  return undefined
}

const dotSegment = /\/(?:\.|%2e){1,2}(?:[/?]|$)/i

/** Clients resolve dot segments before they send (RFC 3986 5.2.4), and send no fragments (RFC 9112 3.2). */
function isPlainTarget(url: string): boolean {
  if (url.includes('#')) return false
  const query = url.indexOf('?')
  return !dotSegment.test(query < 0 ? url : url.slice(0, query))
}

function malformed(reason: string): Problem {
  return new Problem('malformed-request', reason)
}
