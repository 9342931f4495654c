import type { Measure } from './containment.ts'
import { addHold } from './holds.ts'

export type LockOptions = {
  readonly dataDir: string
  /** The login's name. */
  readonly writer: string
  /** Locks it out and ends its sessions; how many. */
  readonly lock: () => Promise<number>
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
}

/** Locks the writer's login: nothing is written any more, by whoever has its password. */
export function lockWriterLogin({ dataDir, writer, lock, nowMs }: LockOptions): Measure {
  return {
    name: 'lock-writer',
    carryOut: async ({ id }) => {
      // First: a start with an administrator's login lets the roles log in, but for who is held.
      const hold = { incident: id, at: new Date(nowMs()).toISOString() }
      const unheld = await addHold(dataDir, 'writer', hold).catch((error: Error) => error)
      const done = `the login ${writer} is locked and ${await lock()} of its sessions were ended`
      if (unheld === undefined) return `${done}, until \`dendrolog incident release\``
      throw new Error(`${done}, but a restart may unlock it: ${unheld.message}`, { cause: unheld })
    },
  }
}
