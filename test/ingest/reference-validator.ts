/** What DESIGN section 3 says of a submission, slowly and from JavaScript values: null where it is accepted. */
import { isIP } from 'node:net'
import { jcsOf } from '../support/ledger-text.ts'

const names = ['id', 'actorId', 'action', 'resource', 'payload', 'clientIp', 'occurredAt', 'lamport']
const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
const dateTime = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:[0-5]\d)(\.\d{1,6})?(Z|[+-](?:0\d|1[0-5]):[0-5]\d)$/

type Members = Readonly<Record<string, unknown>>

/** The member that is at fault, of a submission that JSON.parse took and that has no name twice. */
export function memberAtFault(submission: unknown): string | null {
  if (typeof submission !== 'object' || submission === null || Array.isArray(submission)) return ''
  const members = submission as Members
  const unfit = Object.keys(members).find((name) => !names.includes(name) || !isStrict(members[name]))
  if (unfit !== undefined) return unfit
  return names.find((name) => !isFit(name, members)) ?? null
}

function isFit(name: string, members: Members): boolean {
  const value = members[name]
  switch (name) {
    case 'actorId':
    case 'resource':
      return isText(value, 255)
    case 'action':
      return isText(value, 100) && !(value as string).startsWith('dendrolog.')
    case 'payload':
      return isPayload(value)
    default:
      return !Object.hasOwn(members, name) || isOptional(name, value)
  }
}

function isOptional(name: string, value: unknown): boolean {
  if (name === 'lamport') return Number.isSafeInteger(value) && (value as number) >= 0
  if (typeof value !== 'string') return false
  if (name === 'id') return uuidV7.test(value)
  if (name === 'clientIp') return isIP(value) !== 0 && !value.includes('%') && value.length <= 45
  return isInstant(value)
}

function isText(value: unknown, pointsMax: number): boolean {
  return typeof value === 'string' && value !== '' && [...value].length <= pointsMax
}

function isPayload(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return (
    depthOf(value) <= 64 &&
    Buffer.byteLength(jcsOf(value as Parameters<typeof jcsOf>[0])) <= 1_048_576 &&
    !hasEncrypted(value)
  )
}

function isInstant(text: string): boolean {
  const match = dateTime.exec(text)
  if (match === null) return false
  const [, date = '', time = '', , offset = ''] = match
  const local = Date.parse(`${date}T${time}Z`)
  // Date rolls 30 February over to March; what comes back then is another day.
  if (Number.isNaN(local) || new Date(local).toISOString().slice(0, 10) !== date || time > '23:59:59') return false
  const instant = Date.parse(`${date}T${time}${offset}`)
  return instant >= 0 && instant < Date.UTC(2255, 0, 1)
}

function isStrict(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0')
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(isStrict)
  return Object.entries(value).every(([name, member]) => name !== '__proto__' && isStrict(name) && isStrict(member))
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

function hasEncrypted(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (!Array.isArray(value) && Object.hasOwn(value, 'dendrolog:enc')) return true
  return Object.values(value).some(hasEncrypted)
}
