/** What the outside world is told: an incident was opened, contained, or closed. Nothing in it is of a payload. */
export type Alarm = {
  /** The same of each attempt, so that receivers know what they have: letters, digits, `-` and `_`. */
  readonly id: string
  readonly news: 'opened' | 'contained' | 'closed'
  /** When that was: RFC 3339. */
  readonly at: string
  /** Of the log. */
  readonly origin: string
  readonly incident: AlarmIncident
}

/** The same in each alarm of an incident, but for the members of its containment and closing. Times are RFC 3339. */
export type AlarmIncident = {
  /** UUID text. */
  readonly id: string
  readonly violationType: string
  /** Type and place. */
  readonly key: string
  readonly sequenceNumber: number | null
  readonly detail: string
  readonly evidence: Readonly<Record<string, unknown>>
  readonly firstSeen: string
  readonly openedAt: string
  readonly openedBy: string
  readonly closedAt: string | null
  readonly closedBy: string | null
  readonly closeReason: string | null
  /** What the server did about it on its own; not there where that was nothing. */
  readonly containment?: readonly unknown[]
}

/** Of PagerDuty; in the order of priorities, of which 1 is the highest. */
const severities = ['critical', 'error', 'warning', 'info'] as const

export type Urgency = { readonly severity: (typeof severities)[number]; readonly priority: number }

/** The highest, but of matches of watch rules, which say it: a log that was tampered with is no warning. */
export function urgencyOf({ violationType, evidence }: AlarmIncident): Urgency {
  const said = violationType.startsWith('WATCH_') ? severities.find((each) => evidence.severity === each) : undefined
  const severity = said ?? 'critical'
  return { severity, priority: severities.indexOf(severity) + 1 }
}

/** A way to the outside world: one file of this folder each. */
export type Hook = {
  /** In metrics and in the queue: lower-case letters, digits and `-`. */
  readonly name: string
  /**
   * Resolves when the receiver has the alarm; HookFailure otherwise. Ends within `deliverMs`, and soon after `signal`
   * aborts; what was under way then may have arrived or not.
   */
  readonly deliver: (alarm: Alarm, signal: AbortSignal) => Promise<void>
}

/** What an attempt takes at most, milliseconds. */
export const deliverMs = 10_000

/** An alarm that did not arrive, as far as we know. The message names no URL, key or secret. */
export class HookFailure extends Error {
  /** It never will: further attempts are useless. */
  readonly isFinal: boolean
  /** So long the receiver wants to be left alone. */
  readonly retryAfterMs: number | undefined

  constructor(
    message: string,
    options: { readonly isFinal?: boolean; readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'HookFailure'
    this.isFinal = options.isFinal ?? false
    this.retryAfterMs = options.retryAfterMs
  }
}
