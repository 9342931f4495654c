import type { Context } from 'hono'
import { routePath } from 'hono/route'
import type { Scope } from '../src/auth/scope.ts'
import type { PublishedLog } from '../src/log/published-entries.ts'
import type { StoredCheckpoint } from '../src/store/checkpoints.ts'
import { closeWhenSent } from './answer-share.ts'
import { requireRole } from './authenticate.ts'
import { BudgetShare, type ByteBudget } from './byte-budget.ts'
import type { Deadline } from './deadline.ts'
import type { Env } from './env.ts'
import type { Server } from './server.ts'

/** The driver has the text of a payload as bytes and as string, and we parse it. */
export const readFactor = 3

const notReadInTime = 'the log could not be read in time'

/** Entries are for auditors, or for everybody where that is set. */
export function readersOf({ publicEntries }: Server, scope: Scope = 'entries:read'): 'everybody' | Scope {
  return publicEntries ? 'everybody' : scope
}

/** Lets in those who may read entries; the reading of auditors is recorded. */
export async function requireReader(server: Server, c: Context<Env>, deadline: Deadline, scope?: Scope): Promise<void> {
  const who = readersOf(server, scope)
  if (who === 'everybody') return
  const { identity } = await requireRole(server, c, who, deadline)
  server.onEntriesRead(identity, routePath(c))
}

/** What entries under a checkpoint are read from. */
export function publishedLog({ entries, log, hash }: Server, checkpoint: StoredCheckpoint): PublishedLog {
  return { reads: entries, tiles: log.tiles, proofs: log.proofs, checkpoint, hash }
}

/**
 * Answers with the JSON of what is read, a value or its bytes. What `read` took of the budget is given back when the
 * answer has left, or when what came too late is read.
 */
export async function answerRead(
  { readBudget }: Server,
  c: Context<Env>,
  deadline: Deadline,
  cacheControl: string,
  read: (share: BudgetShare) => Promise<object | Uint8Array<ArrayBuffer>>,
): Promise<Response> {
  return answerReadOf(readBudget, c, deadline, cacheControl, read)
}

/** The same, of another budget. */
export async function answerReadOf(
  budget: ByteBudget,
  c: Context<Env>,
  deadline: Deadline,
  cacheControl: string,
  read: (share: BudgetShare) => Promise<object | Uint8Array<ArrayBuffer>>,
): Promise<Response> {
  const share = new BudgetShare(budget)
  const reading = read(share)
  try {
    const answer = await deadline.within(reading, notReadInTime)
    const json = answer instanceof Uint8Array ? answer : JSON.stringify(answer)
    share.reduceTo(json.length)
    closeWhenSent(c, share)
    return c.body(json, 200, { 'content-type': 'application/json', 'cache-control': cacheControl })
  } catch (error) {
    const close = (): void => share.close()
    reading.then(close, close)
    throw error
  }
}
