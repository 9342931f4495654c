// The sequential verifier, beside the usual way to check a hash chain: page by page with OFFSET, one hash an entry.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { nativeSha256 } from '../../src/ops/native-sha256.ts'
import { withConnection } from '../../src/store/administrator.ts'
import { chainHash, chainText, genesisHash } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import type { FindingsList, PartContext } from '../part.ts'
import type { ServerProcess } from '../server-process.ts'

const program = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js')
const pageRows = 5_000
/** Of a large log so many pages are measured, evenly spread: each takes some ten seconds, and there are 2,000. */
const sampledPages = 8

export async function measureVerify(
  context: PartContext,
  server: ServerProcess,
  name: 'small' | 'large',
  size: number,
  list: FindingsList,
): Promise<void> {
  const { runs } = context.plan
  for (let run = 1; run <= runs; run++) {
    context.progress(`growth: ${size} entries, verify --full, run ${run} of ${runs}`)
    const { rate, memoryMb } = await verify(server.dataDir, size)
    list.add(`growth.${name}Verify`, rate)
    if (memoryMb !== undefined) list.add('growth.verifyMemory', memoryMb)
  }
  context.progress(`growth: ${size} entries, verifying by OFFSET`)
  const config = await server.adminConfig()
  const pages = Math.ceil(size / pageRows)
  const step = name === 'small' ? 1 : Math.ceil(pages / sampledPages)
  const seconds = await withConnection(
    config,
    () => {},
    (client) => pageThrough(client, pages, step),
  )
  list.add(`growth.${name}Paged`, size / seconds)
}

/** Runs the program; entries a second of its whole life, start included. */
async function verify(dataDir: string, size: number): Promise<{ rate: number; memoryMb: number | undefined }> {
  const startedAt = performance.now()
  const env = { PATH: process.env.PATH, DENDROLOG_DATA_DIR: dataDir }
  const child = spawn(process.execPath, [program, 'verify', '--full', '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const [output, memoryMb] = await Promise.all([text(child.stdout), samplePeak(child)])
  await ended
  const elapsedMs = performance.now() - startedAt
  const { isSecure, totalLogsScanned } = JSON.parse(output) as { isSecure: unknown; totalLogsScanned: number }
  // What auditors read is an entry of the log's own, once a minute.
  if (isSecure !== true || totalLogsScanned < size) throw new Error(`verify: ${output.slice(0, 300)}`)
  return { rate: (totalLogsScanned * 1_000) / elapsedMs, memoryMb }
}

/** VmHWM as long as it can be read; undefined where the system does not tell. */
async function samplePeak(child: ChildProcess): Promise<number | undefined> {
  for (let peak: number | undefined; ; ) {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
    const kib = /VmHWM:\s+(\d+) kB/.exec(status)?.[1]
    if (kib === undefined) return peak
    peak = (Number(kib) * 1_024) / 1e6
    await sleep(50)
  }
}

type PagedRow = {
  readonly sequence_number: string
  readonly actor_id: string
  readonly action: string
  readonly resource: string
  readonly payload: unknown
  readonly previous_hash: string
  readonly current_hash: string
}

/** Seconds for all pages, from every `step`-th of them. */
async function pageThrough(client: Client, pages: number, step: number): Promise<number> {
  const startedAt = performance.now()
  let measured = 0
  for (let page = Math.floor(step / 2); page < pages; page += step, measured++) {
    const { rows } = await client.query<PagedRow>(
      `select sequence_number, actor_id, action, resource, payload, previous_hash, current_hash
       from security.audit_logs
       order by sequence_number
       limit $1 offset $2`,
      [pageRows, page * pageRows],
    )
    checkPage(rows, page * pageRows)
  }
  return ((performance.now() - startedAt) / 1_000) * (pages / measured)
}

function checkPage(rows: readonly PagedRow[], above: number): void {
  let previous = above === 0 ? genesisHash : rows[0]?.previous_hash
  for (const [i, row] of rows.entries()) {
    const n = Number(row.sequence_number)
    const hash = chainHash(
      ...([n as SequenceNumber, row.actor_id, row.action, row.resource] as const),
      ...([chainText(row.payload), row.previous_hash, nativeSha256] as const),
    )
    const isRight = n === above + i + 1 && row.previous_hash === previous && hash === row.current_hash
    if (!isRight) throw new Error(`verifying by OFFSET: row ${above + i + 1} does not hold`)
    previous = row.current_hash
  }
}
