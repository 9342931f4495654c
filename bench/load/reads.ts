// GETs of one kind of path, each with a random number in it: each connection asks again when it was answered.
import { formatTilePath, tileWidth } from '../../tlog/tile.ts'
import { quantile } from '../statistics.ts'
import { type Connection, openConnections } from './connection.ts'
import { serveLoad } from './load-process.ts'

export type ReadLoad = {
  readonly port: number
  /** `{index}` stands for a random number below `below`, `{tile}` for that number as the end of a tile's path. */
  readonly path: string
  readonly below: number
  readonly connections: number
  readonly seconds: number
}

export type ReadResult = {
  /** Answers with 200, a second. */
  readonly rate: number
  readonly p95Ms: number
  readonly failed: number
}

type Tally = { readonly latenciesMs: number[]; failed: number }

async function run(load: ReadLoad): Promise<ReadResult> {
  const connections = await openConnections(load.port, load.connections)
  const tally: Tally = { latenciesMs: [], failed: 0 }
  const startedAt = performance.now()
  const endsAt = startedAt + load.seconds * 1_000
  await Promise.all(connections.map((connection) => askUntil(load, connection, tally, endsAt)))
  const elapsedMs = performance.now() - startedAt
  for (const connection of connections) connection.close()
  const { latenciesMs, failed } = tally
  return { rate: (latenciesMs.length / elapsedMs) * 1_000, p95Ms: quantile(latenciesMs, 0.95), failed }
}

async function askUntil(load: ReadLoad, connection: Connection, tally: Tally, endsAt: number): Promise<void> {
  const nothing = new Uint8Array(0)
  while (performance.now() < endsAt) {
    const askedAt = performance.now()
    const { status } = await connection.ask(getHead(pathOf(load)), nothing)
    if (status === 200) tally.latenciesMs.push(performance.now() - askedAt)
    else tally.failed++
  }
}

function pathOf({ path, below }: ReadLoad): string {
  const n = Math.floor(Math.random() * below)
  const tile = formatTilePath({ level: 0, index: n, width: tileWidth }).slice('tile/0/'.length)
  return path.replace('{index}', String(n)).replace('{tile}', tile)
}

function getHead(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, 'latin1')
}

await serveLoad(run)
