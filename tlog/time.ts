import { TlogError } from './errors.ts'

// Instants are integer microseconds since 1970-01-01T00:00:00Z without leap seconds, from 1970 up to 2255: below 2^53,
// so numbers hold them exactly.

/** First microsecond that is out of range: 2255-01-01T00:00:00Z. */
export const microsecondsEnd = 8_993_721_600_000_000

const microsecondsPerSecond = 1_000_000
const secondsPerDay = 86_400
const secondsEnd = microsecondsEnd / microsecondsPerSecond
const textLengthMin = '1970-01-01T00:00:00Z'.length
const textLengthMax = '1970-01-01T00:00:00.000000+00:00'.length
const fractionAt = '1970-01-01T00:00:00'.length
const fractionDigits = 6

const dash = 0x2d
const colon = 0x3a
const upperT = 0x54
const upperZ = 0x5a
const plus = 0x2b
const dot = 0x2e
const digitZero = 0x30

const daysBeforeMonth = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]
const daysBefore1970 = daysBeforeYear(1970)

// Holds the text being parsed. No call leaves before it is done with it, so one buffer serves all.
const textBytes = new Uint8Array(textLengthMax)

/**
 * Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 date-time: upper-case T and Z, second 00 to 59, up to six
 * fractional digits, offset of at most 15:59. `malformed-timestamp` on another form, a date that the calendar does not
 * have, or an instant that is not in 1970 to 2254; the message names the reason.
 */
export function parseOccurredAt(text: string): number {
  if (text.length > textLengthMax) throw malformed(text, `too long; ${wanted}`)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    textBytes[i] = code < 0x80 ? code : 0
  }
  const result = microsecondsOrReason(textBytes, 0, text.length)
  if (typeof result === 'string') throw malformed(text, result)
  return result
}

/** `parseOccurredAt` of ASCII text at `start` up to `end` within `bytes`. */
export function parseOccurredAtBytes(bytes: Uint8Array, start: number, end: number): number {
  const result = microsecondsOrReason(bytes, start, end)
  if (typeof result === 'string')
    throw malformed(String.fromCharCode(...bytes.slice(start, Math.min(end, start + 80))), result)
  return result
}

/** `YYYY-MM-DDTHH:MM:SS.ffffffZ`, 27 characters; `out-of-range` on what `parseOccurredAt` cannot give. */
export function formatMicroseconds(us: number): string {
  if (!Number.isInteger(us) || us < 0 || us >= microsecondsEnd) {
    throw new TlogError('out-of-range', `timestamp: got ${us} microseconds`)
  }
  const seconds = Math.floor(us / microsecondsPerSecond)
  const second = seconds % secondsPerDay
  const fraction = String(us - seconds * microsecondsPerSecond).padStart(fractionDigits, '0')
  return `${formatDate((seconds - second) / secondsPerDay)}T${formatTimeOfDay(second)}.${fraction}Z`
}

const wanted = 'want RFC 3339, like 2026-11-22T09:30:00Z'

function microsecondsOrReason(bytes: Uint8Array, start: number, end: number): number | string {
  if (end - start < textLengthMin) return `too short; ${wanted}`
  if (end - start > textLengthMax) return `too long; ${wanted}`
  if (!hasShape(bytes, start)) return `want YYYY-MM-DDTHH:MM:SS first; ${wanted}`
  const offsetAt = fractionEnd(bytes, start + fractionAt, end)
  if (offsetAt < 0) return 'want 1 to 6 digits after the decimal point'
  const offset = offsetSeconds(bytes, offsetAt, end)
  if (Number.isNaN(offset)) return `want Z or an offset of at most 15:59 last; ${wanted}`
  const local = localSecondsOrReason(bytes, start)
  if (typeof local === 'string') return local
  const seconds = local - offset
  if (seconds < 0 || seconds >= secondsEnd) return 'not in the years 1970 to 2254 (UTC)'
  return seconds * microsecondsPerSecond + fractionMicroseconds(bytes, start + fractionAt, offsetAt)
}

function hasShape(bytes: Uint8Array, start: number): boolean {
  return (
    bytes[start + 4] === dash &&
    bytes[start + 7] === dash &&
    bytes[start + 10] === upperT &&
    bytes[start + 13] === colon &&
    bytes[start + 16] === colon
  )
}

// Seconds since 1970 of date and time of day as if they were UTC; before 1970 negative.
function localSecondsOrReason(bytes: Uint8Array, start: number): number | string {
  const year = twoDigits(bytes, start) * 100 + twoDigits(bytes, start + 2)
  const month = twoDigits(bytes, start + 5)
  const day = twoDigits(bytes, start + 8)
  const hour = twoDigits(bytes, start + 11)
  const minute = twoDigits(bytes, start + 14)
  const second = twoDigits(bytes, start + 17)
  // Comparisons that are false for NaN: what is not two digits is out of its range.
  if (!(year >= 0)) return 'year is not four digits'
  if (!(month >= 1 && month <= 12)) return 'month is not 01 to 12'
  if (!(day >= 1 && day <= daysInMonth(year, month))) return 'the month has no such day'
  if (!(hour <= 23)) return 'hour is not 00 to 23'
  if (!(minute <= 59)) return 'minute is not 00 to 59'
  if (!(second <= 59)) return 'second is not 00 to 59'
  return (daysSince1970(year, month) + day - 1) * secondsPerDay + hour * 3600 + minute * 60 + second
}

// Where the fraction that may begin at `at` ends; `at` where there is none, -1 where it is none.
function fractionEnd(bytes: Uint8Array, at: number, end: number): number {
  if (bytes[at] !== dot) return at
  let next = at + 1
  while (next < end && isDigit(bytes[next] as number)) next++
  return next === at + 1 || next > at + 1 + fractionDigits ? -1 : next
}

function fractionMicroseconds(bytes: Uint8Array, at: number, end: number): number {
  let us = 0
  for (let i = at + 1; i <= at + fractionDigits; i++) us = us * 10 + (i < end ? (bytes[i] as number) - digitZero : 0)
  return us
}

// Seconds east of UTC; NaN unless it is `Z` or `+HH:MM` or `-HH:MM` and ends at `end`.
function offsetSeconds(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]
  if (end - at === 1 && first === upperZ) return 0
  if (end - at !== 6 || (first !== plus && first !== dash) || bytes[at + 3] !== colon) return Number.NaN
  const hour = twoDigits(bytes, at + 1)
  const minute = twoDigits(bytes, at + 4)
  if (!(hour <= 15 && minute <= 59)) return Number.NaN
  return (first === plus ? 1 : -1) * (hour * 3600 + minute * 60)
}

function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = bytes[at] as number
  const ones = bytes[at + 1] as number
  return isDigit(tens) && isDigit(ones) ? (tens - digitZero) * 10 + ones - digitZero : Number.NaN
}

function isDigit(code: number): boolean {
  return code >= digitZero && code <= digitZero + 9
}

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function daysInMonth(year: number, month: number): number {
  if (month === 2 && isLeapYear(year)) return 29
  return (daysBeforeMonth[month] as number) - (daysBeforeMonth[month - 1] as number)
}

// Days from 1970-01-01 to the first of the month.
function daysSince1970(year: number, month: number): number {
  const leapDay = month > 2 && isLeapYear(year) ? 1 : 0
  return daysBeforeYear(year) - daysBefore1970 + (daysBeforeMonth[month - 1] as number) + leapDay
}

// Days from 0001-01-01 to the first of the year, in the Gregorian calendar.
function daysBeforeYear(year: number): number {
  const past = year - 1
  return past * 365 + Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400)
}

function formatDate(days: number): string {
  // The mean year errs by at most one.
  let year = 1970 + Math.floor(days / 365.2425)
  if (daysSince1970(year, 1) > days) year--
  else if (daysSince1970(year + 1, 1) <= days) year++
  let month = 12
  while (daysSince1970(year, month) > days) month--
  return `${year}-${formatTwoDigits(month)}-${formatTwoDigits(days - daysSince1970(year, month) + 1)}`
}

function formatTimeOfDay(seconds: number): string {
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  return `${formatTwoDigits(hours)}:${formatTwoDigits(minutes % 60)}:${formatTwoDigits(seconds % 60)}`
}

function formatTwoDigits(n: number): string {
  return n < 10 ? `0${n}` : String(n)
}

function malformed(text: string, reason: string): TlogError {
  return new TlogError('malformed-timestamp', `timestamp: got ${JSON.stringify(text.slice(0, 80))}: ${reason}`)
}
