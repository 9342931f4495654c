import type { Context } from 'hono'
import { makeId } from '../src/ingest/make-id.ts'
import { formatUuid } from '../tlog/uuid.ts'
import type { Env } from './env.ts'
import { headerOf } from './header.ts'

/** What can stand in logs and headers as it is. */
const usable = /^[\w.:-]{1,128}$/

/** The client's `X-Request-Id`, where it is one that can be kept. */
export function sentRequestId(c: Context<Env>): string | undefined {
  const sent = headerOf(c, 'x-request-id')
  return sent !== undefined && usable.test(sent) ? sent : undefined
}

/** The client's, or a new one. */
export function requestIdOf(c: Context<Env>): string {
  return sentRequestId(c) ?? newRequestId()
}

/** A UUIDv7: ids of one server sort by time, like the lines of its log. */
export function newRequestId(): string {
  return formatUuid(makeId())
}
