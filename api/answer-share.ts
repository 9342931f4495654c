import type { Socket } from 'node:net'
import type { Context } from 'hono'
import { BudgetShare, type ByteBudget } from './byte-budget.ts'
import type { Env } from './env.ts'

/** What answers take that are not sent yet, by connection. */
const unsent = new WeakMap<Socket, Set<BudgetShare>>()

/** Smaller answers are not reckoned with: their number is bounded with that of the connections. */
const smallBytes = 4_096

/** An answer's bytes, which count until it has left. `Unavailable` where there is no room for them. */
export function answerBytes(
  budget: ByteBudget,
  c: Context<Env>,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>>,
): Response {
  if (bytes.length > smallBytes) {
    const share = new BudgetShare(budget)
    share.take(bytes.length)
    closeWhenSent(c, share)
  }
  return new Response(bytes as Uint8Array<ArrayBuffer>, { status: 200, headers })
}

/**
 * Closes the share when the answer to this request has left, or its connection is closed; at once where there is no
 * connection. The answers that wait behind another one on their connection hear nothing of its end from Node.
 */
export function closeWhenSent({ env }: Context<Env>, share: BudgetShare): void {
  const { incoming, outgoing } = env ?? {}
  const socket = incoming?.socket
  if (outgoing === undefined || outgoing.closed || socket === undefined || socket.destroyed) {
    share.close()
    return
  }
  const shares = sharesOf(socket as Socket).add(share)
  outgoing.once('close', () => {
    shares.delete(share)
    share.close()
  })
}

function sharesOf(socket: Socket): Set<BudgetShare> {
  const known = unsent.get(socket)
  if (known !== undefined) return known
  const made = new Set<BudgetShare>()
  unsent.set(socket, made)
  socket.once('close', () => {
    for (const share of made) share.close()
    made.clear()
  })
  return made
}
