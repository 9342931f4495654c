import { readHookConfig } from '../../config.ts'
import { openHooks } from '../../ops/hooks/open-hooks.ts'
import { type ExitStatus, exitHolds, printJson, printLine } from '../command.ts'
import { closedAlarmOf, closingsOf } from './alarm.ts'
import { describeTold } from './describe.ts'
import { type Closing, emptyState, readState, writeState } from './state.ts'
import { Telling, unsettled } from './telling.ts'

export type ForgetOptions = {
  readonly stateFile: string
  readonly origin: string
  readonly isJson: boolean
  readonly onTrouble: (reason: string) => void
}

/** The oldest are not told: too many wait for hooks that are away. */
const closingsMax = 1_000

/** Hooks that were told of it are told that it is over: now, or with later looks. */
export async function forget(options: ForgetOptions, signal: AbortSignal): Promise<ExitStatus> {
  const { stateFile, origin, isJson, onTrouble } = options
  const hooks = await openHooks(readHookConfig().hooks, Date.now)
  const state = await readState(stateFile, origin)
  const { findings, matches, closings: before } = state ?? emptyState(origin)
  const known = [...findings, ...matches]
  const closings = [...before, ...closingsOf(known, Date.now())].slice(-closingsMax)
  const keep = async (rest: readonly Closing[]): Promise<void> => {
    if (state !== undefined) await writeState(stateFile, { ...state, findings: [], matches: [], closings: rest })
  }
  await keep(closings)
  if (!isJson) for (const each of known) printLine(`forgotten: ${describeTold(each)}`)
  const telling = new Telling({ hooks, nowMs: Date.now, onTrouble })
  const rest = unsettled(await telling.tellEach(closings, (closing) => closedAlarmOf(origin, closing), signal))
  await keep(rest)
  if (rest.length > 0) onTrouble(`hooks are not told yet that ${rest.length} are over: the next looks try again`)
  if (isJson) printJson({ forgotten: findings.length, forgottenMatches: matches.length, untold: rest.length })
  else if (known.length === 0) printLine('there was nothing to forget')
  return exitHolds
}
