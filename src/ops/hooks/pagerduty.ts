// PagerDuty Events API v2: an incident of ours is an alert there, opened by `trigger` and ended by `resolve`.
import type { OutsideAnswer } from '../outside-request.ts'
import { type Alarm, type Hook, urgencyOf } from './hook.ts'
import { postAlarm } from './post-alarm.ts'

export type PagerdutyOptions = {
  /** Of `enqueue`. */
  readonly url: URL
  /** Integration key of a service. */
  readonly routingKey: string
}

const summaryCharactersMax = 1_024
const reasonCharactersMax = 300

export function pagerduty({ url, routingKey }: PagerdutyOptions): Hook {
  const explain = (answer: OutsideAnswer): string => reasonIn(answer).replaceAll(routingKey, '***')
  return {
    name: 'pagerduty',
    deliver: (alarm, signal) =>
      postAlarm(url, JSON.stringify({ routing_key: routingKey, ...eventOf(alarm) }), {}, signal, explain),
  }
}

/** By the incident's id and not its key: a late `resolve` must not end the alert of the next incident of that key. */
function eventOf({ news, at, origin, incident }: Alarm): object {
  const { violationType, sequenceNumber, detail } = incident
  const dedupKey = { dedup_key: `dendrolog:${incident.id}` }
  if (news === 'closed') return { event_action: 'resolve', ...dedupKey }
  const { severity, priority } = urgencyOf(incident)
  const place = sequenceNumber === null ? '' : ` at sequence number ${sequenceNumber}`
  const payload = {
    summary: [...`${violationType}${place}: ${detail}`].slice(0, summaryCharactersMax).join(''),
    ...{ source: origin, severity, timestamp: at, component: 'dendrolog', class: violationType },
    custom_details: { priority, ...incident },
  }
  return { event_action: 'trigger', ...dedupKey, client: 'Dendrolog', payload }
}

/** PagerDuty says what is wrong with an event in `message` and `errors`. */
function reasonIn({ text }: OutsideAnswer): string {
  const reason = text.trim().slice(0, reasonCharactersMax)
  return reason === '' ? '' : `: ${reason}`
}
