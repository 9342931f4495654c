import { setTimeout as sleep } from 'node:timers/promises'
import type { Heartbeat } from '../ops/heartbeat.ts'
import type { WatchProgress } from './watch-progress.ts'

/** Dead-man services are set in minutes. */
const beatMs = 60_000

/** How a verifier is; `failure`: why it cannot check, where it cannot. */
export type VerifierReading = { readonly progress: WatchProgress | undefined; readonly failure: string | undefined }

/** Tells the dead-man service how a verifier is, once a minute until `signal`; of one that is silent nothing. */
export async function beat(read: () => VerifierReading, heartbeat: Heartbeat, signal: AbortSignal): Promise<void> {
  let toldMs: number | undefined
  heartbeat.start()
  while (!signal.aborted) {
    await sleep(beatMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) break
    const { progress, failure } = read()
    if (failure !== undefined) heartbeat.fail(`could not check: ${failure}`)
    else if (progress?.checkedMs === undefined || progress.checkedMs === toldMs) continue
    else beatRound(heartbeat, progress)
    toldMs = progress?.checkedMs
    heartbeat.start()
  }
  await heartbeat.close()
}

/** Tells of a round that could check. */
export function beatRound(heartbeat: Heartbeat, { findings, verifiedSize, size }: WatchProgress): void {
  if (findings > 0) heartbeat.fail(`${findings} violations; see dendrolog verify --status`)
  else heartbeat.success(`verified to entry ${verifiedSize} of ${size}`)
}
