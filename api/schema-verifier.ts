import { formatMicroseconds } from '../tlog/time.ts'
import { described, integer, type JsonSchema, named, object, orNull, text, time } from './schema.ts'
import type { VerifierStanding } from './server.ts'

export const verifier: JsonSchema = named(
  'Verifier',
  object({
    isSecure: described('False: it found violations. Null: nothing is known of what it found, or it cannot check', {
      type: ['boolean', 'null'],
    }),
    findings: described('Violations that it found and still knows', orNull(integer())),
    runsHere: described('Whether a process of this server verifies; else what one elsewhere left in the data folder', {
      type: 'boolean',
    }),
    failure: described('Why it cannot check all that it should', orNull(text)),
    size: described('Entries of the log, as far as it knows', orNull(integer())),
    verifiedSize: described('Of them, those that it has hashed at least once', orNull(integer())),
    lag: described('Of them, those that it has not yet', orNull(integer())),
    checkedAt: described('When it could check all that it should the last time', orNull(time)),
    coveredAt: described('When the round began after which all was hashed again', orNull(time)),
    savedAt: described('When it wrote down where it stands the last time', orNull(time)),
    ranges: described('Ranges of entries of the round that goes on', orNull(integer())),
    rangesDone: orNull(integer()),
    withinHours: described('All is to be hashed again within so many', integer()),
  }),
)

/** As programs get it. Nobody who cannot check says that all is well. */
export function formatStanding(standing: VerifierStanding): Readonly<Record<string, unknown>> {
  const { findings, failure, size, verifiedSize, checkedMs, coveredMs, savedMs, ...rest } = standing
  const hasChecked = findings !== null && failure === null && (checkedMs ?? savedMs) !== null
  return {
    isSecure: findings !== null && findings > 0 ? false : hasChecked ? true : null,
    ...{ findings, failure, size, verifiedSize, ...rest },
    // A log that was rolled back has less than was verified.
    lag: size === null || verifiedSize === null ? null : Math.max(0, size - verifiedSize),
    checkedAt: timeOrNull(checkedMs),
    coveredAt: timeOrNull(coveredMs),
    savedAt: timeOrNull(savedMs),
  }
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : formatMicroseconds(Math.floor(ms) * 1_000)
}
