// Who hears of a verifier that runs as a job: incidents and their hooks, the dead-man service.
import { formatUuid } from '../../../tlog/uuid.ts'
import { type Config, readAuditorConfig, readConfig } from '../../config.ts'
import { alarmOfUnstored } from '../../incident/alarm.ts'
import { AlarmSender } from '../../incident/alarm-sender.ts'
import { Alarms } from '../../incident/alarms.ts'
import { draftIncident, type IncidentFinding } from '../../incident/finding.ts'
import { IncidentOffice } from '../../incident/incident-office.ts'
import { makeId } from '../../ingest/make-id.ts'
import { schemaNames } from '../../instance.ts'
import { readLogFile } from '../../log/log-file.ts'
import { createSignAct } from '../../log/own-act-entry.ts'
import { Heartbeat } from '../../ops/heartbeat.ts'
import type { Hook } from '../../ops/hooks/hook.ts'
import { openHooks } from '../../ops/hooks/open-hooks.ts'
import { sendNow } from '../../ops/hooks/send-now.ts'
import { nativeSha256 } from '../../ops/native-sha256.ts'
import { describeError } from '../describe-error.ts'
import { localIdentity, openLocalKeys, withLocalState } from '../local-state.ts'

export type Teller = {
  readonly heartbeat: Heartbeat | undefined
  /**
   * Opens incidents of the findings and has hooks told, and of what waits: incidents that were closed, alarms that did not
   * arrive before. Never rejects; what could not be told is said.
   */
  readonly tell: (findings: readonly IncidentFinding[], signal: AbortSignal) => Promise<void>
  /** Waits for the last ping. */
  readonly close: () => Promise<void>
}

type Say = (reason: string) => void

/** Of one run: whoever altered so many altered all. */
const toldMax = 1_000
/** Of them, without a database to keep them in. */
const toldAloneMax = 20
const draftOptions = { makeId: () => formatUuid(makeId()), nowMs: Date.now }

/** Throws where the settings cannot be used. Whoever has no login but the auditors' opens no incidents: hooks are told alone. */
export async function openTeller(say: Say): Promise<Teller> {
  const { config, keepsState } = readSettings()
  const hooks = await openHooks(config.hooks, Date.now)
  const heartbeat =
    config.heartbeat &&
    new Heartbeat({
      ...{ url: new URL(config.heartbeat.url), style: config.heartbeat.style, onSent: () => {} },
      onFailed: (_, reason) => say(`the dead-man service could not be told: ${reason}`),
    })
  return {
    heartbeat,
    tell: async (findings, signal) => {
      const told = findings.slice(0, toldMax)
      if (findings.length > told.length) say(`of ${findings.length} findings the first ${toldMax} are told`)
      if (told.length > 0) await tellAll(config, keepsState, hooks, told, say, signal)
      else if (keepsState && hooks.length > 0) await tellWaiting(config, hooks, say, signal)
    },
    close: async () => heartbeat?.close(),
  }
}

function readSettings(): { readonly config: Config; readonly keepsState: boolean } {
  try {
    return { config: readConfig(), keepsState: true }
  } catch (error) {
    const { config, readerUrl } = readAuditorConfig()
    if (readerUrl === undefined) throw error
    return { config, keepsState: false }
  }
}

async function tellAll(
  config: Config,
  keepsState: boolean,
  hooks: readonly Hook[],
  findings: readonly IncidentFinding[],
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const log = await readLogFile(config.dataDir).catch(() => undefined)
  const origin = log?.origin ?? 'a log whose folder is not at hand'
  // An ended log keeps no incidents any more.
  if (log?.state === 'ended') return tellAlone(origin, hooks, findings.slice(0, toldAloneMax), say, signal)
  try {
    if (!keepsState) throw new Error('the login that keeps state is not at hand')
    if (log?.state !== 'ready') throw new Error('the data folder of the log is not at hand')
    await openIncidents(config, origin, hooks, findings, say, signal)
  } catch (error) {
    say(`no incidents could be opened: ${describeError(error)}`)
    await tellAlone(origin, hooks, findings.slice(0, toldAloneMax), say, signal)
  }
}

async function tellWaiting(config: Config, hooks: readonly Hook[], say: Say, signal: AbortSignal): Promise<void> {
  try {
    const log = await readLogFile(config.dataDir)
    if (log?.state === 'ready') await openIncidents(config, log.origin, hooks, [], say, signal)
  } catch (error) {
    if (!signal.aborted) say(`alarms that wait could not be delivered: ${describeError(error)}`)
  }
}

async function openIncidents(
  config: Config,
  origin: string,
  hooks: readonly Hook[],
  findings: readonly IncidentFinding[],
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const { signing } = await openLocalKeys(config)
  const signAct = createSignAct({ signer: signing.note, makeId, nowMs: Date.now, hash: nativeSha256 })
  const schema = schemaNames(config)
  await withLocalState(config, signal, async (query) => {
    const office = new IncidentOffice({
      ...{ query, schema, signAct, hooks: hooks.map(({ name }) => name) },
      ...draftOptions,
    })
    const onFailed = (error: unknown): void => say(`incidents: ${describeError(error)}`)
    const sender = new AlarmSender({
      ...{ query, schema, origin, hooks, onFailed, onCounted: () => {} },
      onAttempt: (hook, outcome, reason) => {
        if (outcome !== 'delivered') say(undelivered(hook, reason))
      },
    })
    const alarms = new Alarms({
      ...{ office, sender, hooks, origin, by: localIdentity(), onFailed, onOpened: () => {}, onSentUnstored: () => {} },
      ...draftOptions,
      onDropped: ({ detail }) => say(`no incident was opened: ${detail}`),
    })
    for (const finding of findings) alarms.raise(finding)
    await alarms.runOnce(signal)
  })
}

async function tellAlone(
  origin: string,
  hooks: readonly Hook[],
  findings: readonly IncidentFinding[],
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  for (const finding of findings) {
    const alarm = alarmOfUnstored(origin, draftIncident(finding, localIdentity(), draftOptions))
    for (const { hook, error } of await sendNow(hooks, alarm, signal)) {
      if (error !== undefined) say(undelivered(hook, error))
    }
  }
}

function undelivered(hook: string, reason: string | undefined): string {
  return `an alarm was not delivered by ${hook}: ${reason}`
}
