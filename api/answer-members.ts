import type { Context } from 'hono'
import type { Principal } from '../src/auth/principal.ts'
import { type Need, requireRole, senderOf } from './authenticate.ts'
import { type Deadline, deadlineIn } from './deadline.ts'
import type { Env } from './env.ts'
import { type Members, withMembers } from './json-body.ts'
import { readQuery } from './parameters.ts'
import type { Server } from './server.ts'

/** What such a request can be refused for beside what every body can. */
export const memberProblems = ['malformed-json', 'json-not-strict', 'malformed-body', 'unsupported-media-type'] as const

/** Answers what somebody who may do this asks for with a small JSON object. */
export async function answerMembers(
  server: Server,
  c: Context<Env>,
  need: Need,
  known: readonly string[],
  use: (members: Members, principal: Principal, deadline: Deadline) => Promise<Response>,
): Promise<Response> {
  const deadline = deadlineIn(server.times.answerMs)
  const principal = await requireRole(server, c, need, deadline)
  readQuery(c, {})
  const sender = senderOf(server, c, principal, need, deadline)
  return withMembers(server, c, known, sender, (members) => use(members, principal, deadline))
}
