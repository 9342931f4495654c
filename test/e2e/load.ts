/** A client that submits until it is told to stop, with its own ids, and remembers every acknowledgement. */
import { setTimeout as sleep } from 'node:timers/promises'
import { uuidv7 } from 'uuidv7'

export type Event = {
  readonly id: string
  readonly actorId: string
  readonly action: string
  readonly resource: string
  readonly payload: object
}

type BatchAnswer = {
  readonly accepted: number
  readonly duplicates: number
  readonly firstIndex: number | null
  readonly results: readonly { readonly i: number; readonly status: string; readonly sequenceNumber?: number }[]
}

const requestMs = 30_000
const pauseMs = 30

/** Found in no log of the server: payloads are nobody's business but the ledger's. */
export const payloadMark = 'mark-of-a-payload'

export class Load {
  /** Leaf index by id, as it was answered. */
  readonly acknowledged = new Map<string, number>()
  /** Everything that was ever sent. */
  readonly sent = new Set<string>()
  /** What no server may answer: another index for the same id, a status that shippers would drop events for. */
  readonly contradictions: string[] = []
  /** Requests that were refused with 503, and those whose connection was refused or lost. */
  refused = 0
  lost = 0
  /** Ids that were acknowledged as duplicates: an earlier, unanswered attempt had gone in. */
  duplicates = 0
  readonly #url: () => string
  readonly #token: string
  #retries: Event[][] = []

  constructor(url: () => string, token: string) {
    this.#url = url
    this.#token = token
  }

  /** Runs `batchers` loops of NDJSON requests, of `batch` events each, and `singles` loops of one event a request. */
  async run(
    signal: AbortSignal,
    { batchers, singles, batch = 40 }: { batchers: number; singles: number; batch?: number },
  ): Promise<void> {
    const loops = [
      ...Array.from({ length: batchers }, () => this.#loop(signal, batch)),
      ...Array.from({ length: singles }, () => this.#loop(signal, 1)),
    ]
    await Promise.all(loops)
  }

  /** Sends one new event; what becomes of it shows in the counts. */
  async sendOne(): Promise<void> {
    await this.#send(makeEvents(1))
  }

  /** Sends again what had no answer, until all of that is acknowledged. */
  async settle(): Promise<void> {
    while (this.#retries.length > 0) await this.#send(this.#retries.shift() ?? [])
  }

  async #loop(signal: AbortSignal, size: number): Promise<void> {
    while (!signal.aborted) {
      const retry = this.#retries.findIndex((events) => (events.length === 1) === (size === 1))
      const events = retry < 0 ? makeEvents(size) : this.#retries.splice(retry, 1)[0]
      if (!(await this.#send(events ?? []))) await sleep(pauseMs)
    }
  }

  /** Whether it was acknowledged. Every other request that was not is never sent again. */
  async #send(events: readonly Event[]): Promise<boolean> {
    for (const { id } of events) this.sent.add(id)
    const isAcknowledged = await this.#post(events).catch(() => {
      this.lost++
      return false
    })
    if (!isAcknowledged && (this.lost + this.refused) % 2 === 0) this.#retries.push([...events])
    return isAcknowledged
  }

  async #post(events: readonly Event[]): Promise<boolean> {
    const isSingle = events.length === 1
    const response = await fetch(`${this.#url()}/v1/entries?wait=integrated`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.#token}`,
        'content-type': isSingle ? 'application/json' : 'application/x-ndjson',
      },
      body: events.map((event) => JSON.stringify(event)).join('\n'),
      signal: AbortSignal.timeout(requestMs),
    })
    const text = await response.text()
    if (response.status === 503) return this.#noteRefusal(response)
    if (response.status !== 200 && response.status !== 201) {
      this.contradictions.push(`status ${response.status}: ${text.slice(0, 300)}`)
      return false
    }
    if (isSingle) this.#noteSingle(events, response.status, text)
    else this.#noteBatch(events, JSON.parse(text) as BatchAnswer)
    return true
  }

  #noteRefusal(response: Response): boolean {
    this.refused++
    const retryAfter = response.headers.get('retry-after') ?? ''
    if (!/^[1-9]\d*$/.test(retryAfter)) this.contradictions.push(`503 with Retry-After ${JSON.stringify(retryAfter)}`)
    return false
  }

  #noteSingle(events: readonly Event[], status: number, text: string): void {
    const { entry } = JSON.parse(text) as { entry: { id: string; sequenceNumber: number } }
    if (status === 200) this.duplicates++
    if (entry.id !== events[0]?.id) this.contradictions.push(`sent ${events[0]?.id}, answered ${entry.id}`)
    this.#note(entry.id, entry.sequenceNumber - 1)
  }

  /** What is not listed was accepted, at consecutive indexes in request order. */
  #noteBatch(events: readonly Event[], answer: BatchAnswer): void {
    const listed = new Map(answer.results.map((result) => [result.i, result]))
    if (answer.accepted + answer.duplicates !== events.length) {
      this.contradictions.push(`${events.length} sent: ${JSON.stringify(answer).slice(0, 300)}`)
    }
    let index = answer.firstIndex ?? Number.NaN
    events.forEach(({ id }, i) => {
      const result = listed.get(i)
      if (result === undefined) this.#note(id, index++)
      else this.#note(id, (result.sequenceNumber ?? Number.NaN) - 1)
    })
    this.duplicates += answer.duplicates
  }

  #note(id: string, index: number): void {
    const before = this.acknowledged.get(id)
    if (before !== undefined && before !== index) this.contradictions.push(`${id}: index ${before}, then ${index}`)
    this.acknowledged.set(id, index)
  }
}

function makeEvents(count: number): Event[] {
  return Array.from({ length: count }, (_, i) => ({
    id: uuidv7(),
    actorId: `actor ${i % 7}`,
    action: 'document.read',
    resource: `document/${i}`,
    payload: { note: payloadMark, i, nested: { b: [1, 'ü', null], a: 0.1 } },
  }))
}
