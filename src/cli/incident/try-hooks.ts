// Whether alarms arrive, before there is something to be alarmed about.
import { formatUuid } from '../../../tlog/uuid.ts'
import type { Config } from '../../config.ts'
import { alarmOf } from '../../incident/alarm.ts'
import { draftIncident } from '../../incident/finding.ts'
import { makeId } from '../../ingest/make-id.ts'
import { readLogFile } from '../../log/log-file.ts'
import type { Alarm } from '../../ops/hooks/hook.ts'
import { openHooks } from '../../ops/hooks/open-hooks.ts'
import { sendNow } from '../../ops/hooks/send-now.ts'
import {
  type ExitStatus,
  exitCouldNotCheck,
  exitHolds,
  printJson,
  printLine,
  UsageError,
  visibleText,
} from '../command.ts'
import { localIdentity } from '../local-state.ts'

/** Of its incident: no finding has it, so that rules of those who are told can let it pass. */
const testType = 'TEST'

type Tried = { readonly hook: string; readonly error: string | null }

/** Tells every hook of the settings of an incident that is none, and that it is over. Nothing of it is stored. */
export async function tryHooks(config: Config, asJson: boolean, signal: AbortSignal): Promise<ExitStatus> {
  const hooks = await openHooks(config.hooks, Date.now)
  if (hooks.length === 0) throw new UsageError('test: no hook is set (DENDROLOG_WEBHOOK_URL, …)')
  const [opened, closed] = await testAlarms(config)
  const tried: Tried[] = []
  for (const hook of hooks) {
    const [first] = await sendNow([hook], opened, signal)
    const [second] = first?.error === undefined ? await sendNow([hook], closed, signal) : [first]
    tried.push({ hook: hook.name, error: second?.error ?? null })
  }
  if (asJson) printJson({ hooks: tried })
  else for (const { hook, error } of tried) printLine(`${hook}: ${error === null ? 'has it' : visibleText(error)}`)
  return tried.every(({ error }) => error === null) ? exitHolds : exitCouldNotCheck
}

async function testAlarms({ dataDir }: Config): Promise<readonly [Alarm, Alarm]> {
  const origin = (await readLogFile(dataDir))?.origin ?? 'a log whose folder is not at hand'
  const by = localIdentity()
  const detail = 'a test of the hooks: nothing was found'
  const options = { makeId: () => formatUuid(makeId()), nowMs: Date.now }
  const draft = draftIncident({ violationType: testType, detail, evidence: {} }, by, options)
  const { firstSeen } = draft
  const open = { ...draft, lastSeen: firstSeen, count: 1, openedAt: firstSeen, containment: null }
  const never = { closedAt: null, closedBy: null, closeReason: null }
  const over = { closedAt: firstSeen, closedBy: by, closeReason: detail }
  return [alarmOf(origin, { ...open, ...never }, 'opened'), alarmOf(origin, { ...open, ...over }, 'closed')]
}
