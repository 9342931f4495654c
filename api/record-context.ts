import type { Context } from 'hono'
import type { Principal } from '../src/auth/principal.ts'
import type { RecordContext } from '../src/ingest/record.ts'
import type { Utf8 } from '../src/log/submission.ts'
import { encodeUtf8 } from '../tlog/bytes.ts'
import type { Env } from './env.ts'
import type { Server } from './server.ts'

/** Who sends the records of a request, and from where. */
export function recordContext(server: Server, c: Context<Env>, principal: Principal): RecordContext {
  const address = peerAddress(c)
  return {
    provenance: { writer: recentUtf8(principal.identity), sourcePosition: recentUtf8(`http:${address}`) },
    peerAddress: recentUtf8(address),
    makeId: server.door.makeId,
    sha256: server.hash,
  }
}

/** The address of a request's peer, IPv4-mapped ones as IPv4, without a zone; `::` where there is no peer. */
export function peerAddress(c: Context<Env>): string {
  const address = c.env?.incoming?.socket?.remoteAddress ?? '::'
  const plain = address.split('%')[0] ?? '::'
  return plain.startsWith('::ffff:') && plain.includes('.') ? plain.slice(7) : plain
}

/** The same few writers and addresses come again and again. */
const recentTexts = new Map<string, Utf8>()
const recentTextsMax = 4_096

function recentUtf8(text: string): Utf8 {
  const kept = recentTexts.get(text)
  if (kept !== undefined) return kept
  if (recentTexts.size >= recentTextsMax) recentTexts.clear()
  const bytes = encodeUtf8(text)
  const made = { bytes, start: 0, end: bytes.length }
  recentTexts.set(text, made)
  return made
}
