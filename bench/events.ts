// Audit events as an application would send them: members in no order, a payload of 500 bytes with a dozen members.
// A body is made once; before it is sent again the number in each record's request id is overwritten in place, so that
// all records of a run are distinct and making them costs the load generator next to nothing.

export const payloadBytes = 500
export const payloadShape = 'flat and nested JSON of 12 members, unsorted, 500 bytes, all records distinct'

const actions = ['document.read', 'document.update', 'login.succeed', 'permission.grant', 'invoice.approve'] as const
const regions = ['eu-central-1', 'eu-west-1', 'us-east-1', 'ap-south-1'] as const
const agents = ['Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0', 'curl/8.5.0', 'okhttp/4.12.0'] as const

const requestPrefix = 'req-'
const requestDigits = 12

/** JSON of a submission, all ASCII. `seed` decides everything; `id` is a UUID, or absent. */
export function eventJson(seed: number, id?: string): string {
  const random = randomOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const event = {
    resource: `document/${String(Math.floor(random() * 1e7)).padStart(7, '0')}`,
    ...(id === undefined ? {} : { id }),
    payload: makePayload(seed, random, pick),
    action: pick(actions),
    actorId: `user-${String(Math.floor(random() * 5_000)).padStart(5, '0')}@example.org`,
  }
  return JSON.stringify(event)
}

function makePayload(seed: number, random: () => number, pick: <T>(list: readonly T[]) => T): object {
  const payload = {
    userAgent: pick(agents),
    requestId: requestPrefix + String(seed).padStart(requestDigits, '0'),
    sessionId: hexDigits(random, 32),
    success: random() < 0.97,
    region: pick(regions),
    durationMs: Math.round(random() * 1e6) / 1e3,
    amount: Math.round(random() * 1e7) / 100,
    tags: ['audit', pick(['internal', 'external'])],
    before: { state: 'draft', version: Math.floor(random() * 100) },
    after: { version: Math.floor(random() * 100), state: 'released' },
    country: pick(['DE', 'FR', 'US', 'IN']),
    note: '',
  }
  const missing = payloadBytes - JSON.stringify(payload).length
  return { ...payload, note: words(random, missing) }
}

/** A body of `count` records, a line each, that can be sent again and again. */
export class NdjsonBody {
  readonly bytes: Buffer
  /** Where the digits of each record's request id begin, and its id, where it has one. */
  readonly #numbers: readonly number[]
  readonly #ids: readonly number[]

  constructor(seed: number, count: number, withIds: boolean) {
    const random = randomOf(seed)
    const lines = Array.from({ length: count }, (_, i) =>
      eventJson(seed * count + i, withIds ? uuidV7(0, random) : undefined),
    )
    this.bytes = Buffer.from(`${lines.join('\n')}\n`, 'latin1')
    this.#numbers = placesOf(this.bytes, `"${requestPrefix}`)
    this.#ids = withIds ? placesOf(this.bytes, '"id":"') : []
  }

  /** Makes the records new: request ids from `firstNumber` on, ids of the millisecond `nowMs`. */
  renew(firstNumber: number, nowMs: number): void {
    this.#numbers.forEach((at, i) => {
      writeDecimal(this.bytes, at, firstNumber + i)
    })
    const time = uuidTime(nowMs)
    for (const at of this.#ids) this.bytes.write(time, at, 'latin1')
  }
}

/** A UUIDv7 (RFC 9562 5.7) of a millisecond; the 74 other bits are from `random`. */
export function uuidV7(unixMs: number, random: () => number): string {
  return `${uuidTime(unixMs)}-7${hexDigits(random, 3)}-8${hexDigits(random, 3)}-${hexDigits(random, 12)}`
}

function uuidTime(unixMs: number): string {
  const hex = unixMs.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}

function placesOf(bytes: Buffer, text: string): number[] {
  const places: number[] = []
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) places.push(at + text.length)
  return places
}

function writeDecimal(out: Uint8Array, at: number, n: number): void {
  let rest = n
  for (let i = at + requestDigits - 1; i >= at; i--) {
    out[i] = 0x30 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

function hexDigits(random: () => number, count: number): string {
  return Array.from({ length: count }, () => Math.floor(random() * 16).toString(16)).join('')
}

function words(random: () => number, length: number): string {
  const text = Array.from({ length: Math.ceil(length / 8) }, () => `${hexDigits(random, 7)} `).join('')
  return text.slice(0, length)
}

/** Uniform numbers in [0, 1), the same ones for the same seed (mulberry32): a run can be repeated. */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
