import { setMaxListeners } from 'node:events'
import type { LogEvent } from '../../client/index.ts'
import type { Outcome } from './attack.ts'
import { makeLab } from './lab.ts'
import { runStage, type Stage } from './stage.ts'
import { alteredTile, grownFinding, unreadableRow } from './stages/doubtful.ts'
import { killedVerifier, lostMemory, otherTypes, suppressedAlarms } from './stages/hidden.ts'
import { rechained, rewritten, schemaTampered, tail, tailReplaced, tailRows, twoFaces } from './stages/history.ts'
import {
  clockBack,
  registeredId,
  restoredBackup,
  restoredSnapshot,
  silencedVerifier,
  stolenKeys,
  stolenWriter,
} from './stages/outside.ts'
import { refused } from './stages/refused.ts'
import { rows } from './stages/rows.ts'
import { splitView, witnessed } from './stages/witnessed.ts'

/** In the order in which they are told. Those that wait for a verifier come first. */
const stages: readonly Stage[] = [
  ...[rows, rechained, rewritten, tailRows, tail, tailReplaced, schemaTampered, twoFaces],
  ...[suppressedAlarms, grownFinding, lostMemory, killedVerifier, otherTypes, unreadableRow, alteredTile],
  ...[stolenWriter, registeredId, restoredBackup, clockBack, silencedVerifier, restoredSnapshot, stolenKeys, refused],
  ...[witnessed, splitView],
]

export const stageNames: readonly string[] = stages.map(({ name }) => name)

/** Attacks of DESIGN section 6 that need what is not built yet. */
export const notDrilled: readonly string[] = [
  'time-stamp authorities (RFC 3161): there is none in this program; write-once archives: not there yet',
]

/** Servers at once: each takes two processes. */
const atOnce = 4
/** Beyond two probes, for a machine that has other things to do. */
const noticeMarginMs = 30_000

export type DrillOptions = {
  readonly events: readonly LogEvent[]
  readonly probeSeconds: number
  /** Of PostgreSQL; undefined: those that come along. */
  readonly binDir: string | undefined
  /** Names of stages; all where there are none. */
  readonly only: readonly string[]
  readonly keep: boolean
  /** Whether servers have their verifiers; without them most attacks must not be noticed. */
  readonly verifies: boolean
  readonly onOutcome: (outcome: Outcome) => void
}

export type Drill = { readonly outcomes: readonly Outcome[]; readonly folder: string }

/** Carries out the attacks, each on a copy of a new log of these events. Rejects where it could not be drilled. */
export async function drill(options: DrillOptions, signal: AbortSignal): Promise<Drill> {
  const { probeSeconds, only, keep, onOutcome } = options
  // Of one that cannot be drilled the others hear.
  const failed = new AbortController()
  const ended = AbortSignal.any([signal, failed.signal])
  setMaxListeners(0, ended)
  const lab = await makeLab(options, ended)
  try {
    const todo = stages.filter(({ name }) => only.length === 0 || only.includes(name))
    const noticeMs = 2 * probeSeconds * 1_000 + noticeMarginMs
    const outcomes: Outcome[] = []
    const worker = async (): Promise<void> => {
      for (let stage = todo.shift(); stage !== undefined; stage = todo.shift()) {
        for (const outcome of await runStage(stage, lab, noticeMs, ended)) {
          outcomes.push(outcome)
          onOutcome(outcome)
        }
      }
    }
    const workers = Array.from({ length: atOnce }, worker).map((each) => each.catch((error) => failed.abort(error)))
    await Promise.all(workers)
    ended.throwIfAborted()
    return { outcomes, folder: lab.folder }
  } finally {
    await lab.close(keep)
  }
}
