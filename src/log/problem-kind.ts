import { TlogError } from '../../tlog/errors.ts'
import { DatabaseOutage } from '../store/outage.ts'
import { type IncidentCode, LogIncident, NotLeader, Unavailable } from './incident.ts'

/** Why the log takes nothing: an incident, or what passes by itself. Stable: answers and dashboards key on it. */
export type ProblemCode = IncidentCode | 'NOT_LEADER' | 'UNAVAILABLE' | 'DATABASE' | 'CHECK_FAILED' | 'INTERNAL'

/** `detail` is a sentence of ours. */
export type PublicProblem = { readonly code: ProblemCode; readonly detail: string }

/**
 * What everybody may read of an error that stopped the log. Messages of the system and of PostgreSQL name paths, hosts
 * and statements: those are for the server's own log.
 */
export function publicProblem(error: unknown): PublicProblem {
  if (error instanceof LogIncident) return { code: error.code, detail: error.message }
  if (error instanceof NotLeader) return { code: 'NOT_LEADER', detail: error.message }
  if (error instanceof Unavailable) return { code: 'UNAVAILABLE', detail: error.message }
  if (error instanceof TlogError) {
    return { code: 'CHECK_FAILED', detail: `what is stored does not pass its check (${error.code})` }
  }
  if (isOfDatabase(error)) return { code: 'DATABASE', detail: 'the database cannot be used now' }
  return { code: 'INTERNAL', detail: "something went wrong; the server's own log says what" }
}

/** A server that stands by looks for new checkpoints ten times a second. */
const behindMaxMs = 5_000

/**
 * Why what is published here may be old or another tree than what others serve; undefined where it is not. `behindMs`:
 * for so long nobody knows whether there is something newer.
 */
export function readProblem(problem: Error | undefined, behindMs: number): string | undefined {
  if (problem instanceof LogIncident) return problem.message
  if (behindMs <= behindMaxMs) return undefined
  return `what other servers have published could not be followed for ${behindMaxMs} ms`
}

/** Whether a disk was full, the database's (SQLSTATE 53100) or ours. Looks at the causes too. */
export function isOutOfRoom(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ('code' in each && /^(53100|ENOSPC|EDQUOT)$/.test(String(each.code))) return true
  }
  return false
}

/** An SQLSTATE, or a connection that is refused, lost or too slow. */
function isOfDatabase(error: unknown): boolean {
  if (error instanceof DatabaseOutage) return true
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  if (/^(ECONN|ETIMEDOUT|EPIPE|EHOST|ENET|ENOTFOUND|EAI_)/.test(code)) return true
  if (/^[0-9A-Z]{5}$/.test(code) && 'severity' in error) return true
  return /^(Connection terminated|timeout e|Query read timeout)/.test(error.message)
}
