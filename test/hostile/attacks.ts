/** What hostile clients do at the same time as others who mean well. Each begins at once, and ends when it is told to. */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { hostileRequests, type Secrets } from '../support/hostile-requests.ts'
import { exchange, open, request } from '../support/wire.ts'

export type Target = { readonly port: number; readonly secrets: Secrets }

export type Attack = {
  readonly name: string
  /** Resolves when it is under way, with what ends it. */
  readonly start: (target: Target) => Promise<() => Promise<void>>
  /** What it needs of the log. */
  readonly prepare?: (target: Target) => Promise<void>
  /** Whom it is measured by; those who send singles and ask for proofs where it does not say. */
  readonly others?: 'batches'
  /** What others reach of their usual rate, where that is not the usual bound. */
  readonly ratioAtLeast?: number
  /** What the server's memory may grow by meanwhile. */
  readonly growthMaxMib?: number
}

const mib = 1_048_576
const tickMs = 20
const atOnceMax = 64

/** So many a second, and no more than 64 at a time. */
function paced(name: string, perSecond: number, act: (target: Target, i: number) => Promise<unknown>): Attack {
  return {
    name: `${name}, ${perSecond}/s`,
    start: async (target) => {
      let isOver = false
      const underWay = new Set<Promise<unknown>>()
      const loop = async (): Promise<void> => {
        const startedAt = performance.now()
        for (let sent = 0; !isOver; await sleep(tickMs)) {
          const due = ((performance.now() - startedAt) / 1_000) * perSecond
          for (; sent < due; sent++) {
            if (underWay.size >= atOnceMax) continue
            const acting: Promise<unknown> = act(target, sent).finally(() => underWay.delete(acting))
            underWay.add(acting)
          }
        }
      }
      const looping = loop()
      return async () => {
        isOver = true
        await looping
        await Promise.allSettled(underWay)
      }
    },
  }
}

/** So many connections that are held open; `use` is called for each, and again every second. */
function held(name: string, count: number, use: (socket: Socket, target: Target, second: number) => void): Attack {
  return {
    name: `${name}, ${count} of them`,
    start: async (target) => {
      const sockets: Socket[] = []
      while (sockets.length < count) {
        sockets.push(
          ...(await Promise.all(
            Array.from({ length: Math.min(200, count - sockets.length) }, () => open(target.port)),
          )),
        )
      }
      let second = 0
      const each = (): void => {
        for (const socket of sockets) if (socket.writable) use(socket, target, second)
        second++
      }
      each()
      const timer = setInterval(each, 1_000)
      return async () => {
        clearInterval(timer)
        for (const socket of sockets) socket.destroy()
      }
    },
  }
}

function head(secrets: Secrets, fields: Readonly<Record<string, string>>): string {
  const all = { authorization: `Bearer ${secrets.writer}`, 'content-type': 'application/x-ndjson', ...fields }
  return request('POST /v1/entries', all)
}

function posts(fields: Readonly<Record<string, string>>, body: Uint8Array): (target: Target) => Promise<unknown> {
  const length = { 'content-length': String(body.length), ...fields }
  return ({ port, secrets }) => exchange(port, [head(secrets, length), body])
}

const bomb = gzipSync(Buffer.alloc(1_024 * mib))
const bombOfMembers = Buffer.concat(Array.from({ length: 64 }, () => gzipSync(Buffer.alloc(16 * mib, '\n'))))
const deep = Buffer.from(`{"payload":${'['.repeat(4 * mib)}`)
const endless = Buffer.alloc(12 * mib, 'x')
const badUtf8 = Buffer.from(`{"actorId":"\xff\xfe"}\n`.repeat(2_000), 'latin1')

const pageMax = 1_000

/** Until a page of them is as large as it can be. */
async function waitForCheckpoints({ port }: Target): Promise<void> {
  const beyond = request(`GET /v1/checkpoints?limit=1&after=${pageMax}`)
  while ((await exchange(port, beyond)).answers[0]?.body.includes('"checkpoints":[]')) await sleep(200)
}

export const attacks: readonly Attack[] = [
  paced('gzip bombs of 1 GiB', 4, posts({ 'content-encoding': 'gzip' }, bomb)),
  {
    ...paced('gzip bombs of 64 members, nested', 4, posts({ 'content-encoding': 'gzip' }, gzipSync(bombOfMembers))),
    ratioAtLeast: 0.4,
  },
  paced('gzip bombs of 64 members', 4, posts({ 'content-encoding': 'gzip' }, bombOfMembers)),
  paced('lines of 12 MiB', 2, posts({}, endless)),
  paced('4 million open brackets', 2, posts({}, deep)),
  paced('2,000 lines that are not UTF-8', 2, posts({}, badUtf8)),
  paced('bodies that are cut off', 100, async ({ port, secrets }) => {
    const socket = await open(port)
    socket.end(head(secrets, { 'content-length': '1000' }).concat('{"actorId":'))
  }),
  paced('tokens that nobody has', 200, ({ port }, i) =>
    exchange(port, request('GET /v1/entries', { authorization: `Bearer ${String(i).padStart(43, 'x')}` })),
  ),
  paced('leaf hashes that nobody knows', 200, ({ port }, i) =>
    exchange(port, request(`GET /ct/v1/get-proof-by-hash?hash=${String(i).padStart(42, 'A')}A%3D&tree_size=300`)),
  ),
  paced('header floods', 200, ({ port }) =>
    exchange(port, `GET /healthz HTTP/1.1\r\nHost: a\r\n${'x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(400)}\r\n`),
  ),
  paced('all kinds of malformed requests', 200, ({ port, secrets }, i) => {
    const { bytes } = hostileRequests[i % hostileRequests.length] as (typeof hostileRequests)[number]
    return exchange(port, bytes(secrets), { limitMs: 2_000 })
  }),
  held('connections that say nothing', 4_000, () => {}),
  held('heads at a byte a second', 1_000, (socket, _, second) =>
    socket.write('GET /healthz HTTP/1.1\r\n'.charAt(second)),
  ),
  held('bodies at a byte a second', 1_000, (socket, { secrets }, second) =>
    socket.write(second === 0 ? head(secrets, { 'content-length': '1000' }) : ' '),
  ),
  {
    ...held('bodies of 16 MB at a byte a second', 8, (socket, { secrets }, second) =>
      socket.write(second === 0 ? head(secrets, { 'content-length': '16000000' }) : ' '),
    ),
    others: 'batches',
  },
  {
    ...held('pipelines of 200 requests whose answers nobody reads', 50, (socket, _, second) => {
      socket.pause()
      if (second === 0) socket.write(request('GET /v1/log').repeat(200))
    }),
    // 10,000 requests at once, each of which is cheap and answered: measured while they are.
    ratioAtLeast: 0.1,
  },
  {
    ...held('pipelines of 250 pages of 1,000 checkpoints that nobody reads', 8, (socket, _, second) => {
      socket.pause()
      if (second === 0) socket.write(request(`GET /v1/checkpoints?limit=${pageMax}`).repeat(250))
    }),
    prepare: waitForCheckpoints,
    growthMaxMib: 100,
  },
  {
    ...held('event streams that nobody reads', 300, (socket, { secrets }, second) => {
      socket.pause()
      if (second === 0)
        socket.write(request('GET /v1/entries/stream?after=0', { authorization: `Bearer ${secrets.auditor}` }))
    }),
    ratioAtLeast: 0.4,
  },
]
