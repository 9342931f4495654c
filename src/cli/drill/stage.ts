import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ToldAlarm } from './alarm-receiver.ts'
import type { Attack, Outcome } from './attack.ts'
import type { Copy } from './copy.ts'
import type { Lab } from './lab.ts'
import { type DrillServer, startServer, until } from './program.ts'

/** Attacks that can share a copy of the log; the stage is over when each was noticed, or was not in time. */
export type Stage = {
  readonly name: string
  readonly run: (lab: Lab, bench: Bench) => Promise<readonly Outcome[]>
}

/** What stages have at hand. */
export type Bench = {
  readonly signal: AbortSignal
  /** So long a verifier may take to tell. */
  readonly noticeMs: number
  /** A server on a copy; it is stopped when the stage is over. */
  readonly serve: (copy: Copy, flags?: readonly string[]) => Promise<DrillServer>
  /** As `serve`; resolves when its verifier has seen the log as it was before the attack. */
  readonly serveVerified: (copy: Copy) => Promise<DrillServer>
}

export const byServer = 'the server, by webhook'

const verifiedMs = 60_000

export async function runStage(
  stage: Stage,
  lab: Lab,
  noticeMs: number,
  signal: AbortSignal,
): Promise<readonly Outcome[]> {
  const servers: DrillServer[] = []
  const serve = async (copy: Copy, flags: readonly string[] = []): Promise<DrillServer> => {
    const server = await startServer(copy, signal, flags)
    servers.push(server)
    return server
  }
  const serveVerified = async (copy: Copy): Promise<DrillServer> => {
    const server = await serve(copy)
    if (!lab.verifies) return server
    const verified = await until(
      async () => {
        const size = await server.metric('published_size')
        return size !== undefined && (await server.metric('verified_size')) === size ? size : undefined
      },
      verifiedMs,
      signal,
    )
    if (verified === undefined) throw new Error(`${stage.name}: the log was not verified before the attack`)
    return server
  }
  try {
    return await stage.run(lab, { signal, noticeMs, serve, serveVerified })
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/** A copy whose verifier knows nothing yet. */
export async function copyForBeginner(lab: Lab, name: string): Promise<Copy> {
  const copy = await lab.copy(name)
  await rm(join(copy.folder, 'verifier-state'), { force: true })
  return copy
}

/** Waits for the alarm of an attack that was carried out at `doneAt` (`performance.now()`). */
export async function awaitAlarm(
  lab: Lab,
  { signal, noticeMs }: Bench,
  copy: Copy,
  attack: Attack,
  doneAt: number,
  matches: (alarm: ToldAlarm) => boolean = () => true,
): Promise<Outcome> {
  const { finding, orFinding } = attack
  const wanted = (alarm: ToldAlarm): boolean =>
    (alarm.violationType === finding || alarm.violationType === orFinding) && matches(alarm)
  const told = await lab.receiver.wait(copy.name, wanted, noticeMs, signal)
  if (told !== undefined) {
    const { violationType, detail } = told
    const caught = { afterMs: performance.now() - doneAt, detail }
    return { attack: { ...attack, finding: violationType }, caught, seen: undefined }
  }
  const others = lab.receiver.alarmsOf(copy.name).map(({ violationType, detail }) => `${violationType} (${detail})`)
  return { attack, caught: undefined, seen: others.length === 0 ? 'nothing' : others.join('; ') }
}
