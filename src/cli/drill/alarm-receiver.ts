import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** An incident as a webhook told of it. */
export type ToldAlarm = {
  readonly violationType: string
  readonly sequenceNumber: number | null
  readonly detail: string
}

/** Stands where whoever is on duty would be: an HTTP listener on loopback that servers and verifiers tell. */
export type AlarmReceiver = {
  /** Where the log of this name tells its incidents, signed with `secret`. */
  readonly webhookUrl: (log: string) => string
  readonly heartbeatUrl: (log: string) => string
  readonly secret: string
  /** The first alarm of a log that matches; undefined where none came within `timeoutMs`. */
  readonly wait: (
    log: string,
    matches: (alarm: ToldAlarm) => boolean,
    timeoutMs: number,
    signal: AbortSignal,
  ) => Promise<ToldAlarm | undefined>
  readonly alarmsOf: (log: string) => readonly ToldAlarm[]
  /** When the verifier of a log was heard of last, by `performance.now()`. */
  readonly heardAt: (log: string) => number | undefined
  readonly close: () => Promise<void>
}

const lookMs = 20
const bodyBytesMax = 1_048_576

export async function openAlarmReceiver(): Promise<AlarmReceiver> {
  const key = randomBytes(32)
  const alarms = new Map<string, ToldAlarm[]>()
  const heard = new Map<string, number>()
  const server = createServer(async (request, response) => {
    const [, kind, log = ''] = (request.url ?? '').split('/')
    const body = await readBody(request)
    if (kind === 'heartbeat') heard.set(log, performance.now())
    else if (!isSigned(request, body, key)) return response.writeHead(401).end()
    else alarms.set(log, [...(alarms.get(log) ?? []), parseAlarm(body)])
    return response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    webhookUrl: (log) => `${base}/webhook/${log}`,
    heartbeatUrl: (log) => `${base}/heartbeat/${log}`,
    secret: `whsec_${key.toString('base64')}`,
    wait: async (log, matches, timeoutMs, signal) => {
      for (const until = performance.now() + timeoutMs; performance.now() < until; ) {
        const found = alarms.get(log)?.find(matches)
        if (found !== undefined) return found
        await sleep(lookMs, undefined, { signal })
      }
      return undefined
    },
    alarmsOf: (log) => alarms.get(log) ?? [],
    heardAt: (log) => heard.get(log),
    close: async () => {
      server.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    },
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) if (body.length < bodyBytesMax) body += chunk
  return body
}

/** As https://www.standardwebhooks.com says a receiver should: an alarm that anybody could send is none. */
function isSigned({ headers }: IncomingMessage, body: string, key: Uint8Array): boolean {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
  const want = Buffer.from(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
  const got = Buffer.from(String(headers['webhook-signature']))
  return got.length === want.length && timingSafeEqual(got, want)
}

function parseAlarm(body: string): ToldAlarm {
  const { data } = JSON.parse(body) as { readonly data: { readonly incident: ToldAlarm } }
  const { violationType, sequenceNumber, detail } = data.incident
  return { violationType, sequenceNumber, detail }
}
