// Every row of the table stands here once, with the figure that it must reach (issue 2, "What it must reach").
import { median } from './statistics.ts'

export const partNames = [
  'baseline',
  'limit',
  'hashing',
  'ndjson',
  'single',
  'paced',
  'start',
  'verifier',
  'witness',
  'cosigned',
  'evidence',
  'growth',
] as const
export type PartName = (typeof partNames)[number]

export type Requirement = { readonly kind: 'at least' | 'at most'; readonly value: number }

/** A row. `combine` says what stands for several runs: failures and memory count by the worst one. */
export type Measure = {
  readonly id: string
  readonly part: PartName | 'ratios'
  readonly title: string
  readonly unit: string
  readonly combine: 'median' | 'max'
  readonly required: Requirement | undefined
}

/** One value a run, or why there is none: it was not asked for, or could not be had. */
export type Outcome =
  | { readonly kind: 'measured'; readonly values: readonly number[] }
  | { readonly kind: 'skipped' | 'failed'; readonly reason: string }

/** What a part found: one value a run for each of its measures, by id. */
export type Findings = Readonly<Record<string, readonly number[]>>

type RowOptions = { readonly combine?: 'max'; readonly required?: Requirement }

function row(
  part: Measure['part'],
  id: string,
  title: string,
  unit: string,
  { combine, required }: RowOptions = {},
): Measure {
  return { id: `${part}.${id}`, part, title, unit, combine: combine ?? 'median', required }
}

function atLeast(value: number): Requirement {
  return { kind: 'at least', value }
}

function atMost(value: number): Requirement {
  return { kind: 'at most', value }
}

const none = { combine: 'max', required: atMost(0) } as const
const memory = { combine: 'max', required: atMost(350) } as const

export const singleConnections = [1, 64, 256] as const
export const receiptConnections = 2_048
export const pacedIntervalsMs = [200, 50] as const

export const measures: readonly Measure[] = [
  row('ratios', 'limit', 'NDJSON / limit', 'x', { required: atLeast(0.4) }),
  row('ratios', 'baseline1', 'NDJSON / baseline, 1 writer', 'x', { required: atLeast(30) }),
  row('ratios', 'baseline16', 'NDJSON / baseline, 16 writers', 'x', { required: atLeast(100) }),
  ...ndjsonRows(),
  ...singleConnections.flatMap(integratedRows),
  ...closedRows('single', `receipt${receiptConnections}`, `receipt, ${receiptConnections} connections`, 6_000, 600),
  row('single', 'memory', 'peak memory of the server', 'MB', memory),
  ...pacedIntervalsMs.flatMap(pacedRows),
  row('start', 'first', 'start to ready, first time', 's', { required: atMost(10) }),
  row('start', 'again', 'start to ready, again', 's', { required: atMost(3) }),
  ...verifierRows(),
  ...witnessRows(),
  ...growthRows(),
  row('limit', 'ledger', 'COPY of ledger rows, one connection', 'entries/s'),
  row('limit', 'commit', 'all that a commit writes (ids, tiles, head too)', 'entries/s'),
  ...baselineRows(),
  row('hashing', 'speed', 'SHA-256 of 1 MiB, one core', 'GB/s'),
  row('hashing', 'payload', 'a payload of 500 bytes', 'ns'),
  ...['payload', 'chain', 'leaf', 'node'].map((name) => row('hashing', `${name}Calls`, `${name} hashes an entry`, '')),
  row('hashing', 'entry', 'all hashes of an entry', 'ns'),
  row('hashing', 'share', 'share of a core at 20,000 entries/s', '%', { required: atMost(4) }),
]

function ndjsonRows(): Measure[] {
  return [
    row('ndjson', 'rate', 'ids made by the server', 'entries/s', { required: atLeast(40_000) }),
    row('ndjson', 'idsRate', "clients' own UUIDv7 ids", 'entries/s'),
    row('ndjson', 'refused', 'requests answered 503 and sent again', '', { combine: 'max' }),
    row('ndjson', 'published', 'last answer to published', 'ms'),
    row('ndjson', 'memory', 'peak memory of the server (VmHWM)', 'MB', memory),
    row('ndjson', 'memorySampled', 'highest sample of its VmRSS', 'MB', { combine: 'max' }),
    row('ndjson', 'stored', 'stored an entry, all tables and indexes', 'bytes'),
    row('ndjson', 'wal', 'write-ahead log an entry', 'bytes'),
  ]
}

function integratedRows(connections: number): Measure[] {
  const title = `integrated, ${connections} connection${connections === 1 ? '' : 's'}`
  const isRequired = connections === 256
  return closedRows('single', `integrated${connections}`, title, isRequired ? 8_000 : undefined, 150)
}

function closedRows(part: PartName, id: string, title: string, rateMin: number | undefined, p99Max: number): Measure[] {
  const isRequired = rateMin !== undefined
  return [
    row(part, `${id}.rate`, `${title}: rate`, 'entries/s', isRequired ? { required: atLeast(rateMin) } : {}),
    row(part, `${id}.p50`, `${title}: p50`, 'ms'),
    row(part, `${id}.p99`, `${title}: p99`, 'ms', isRequired ? { required: atMost(p99Max) } : {}),
    row(part, `${id}.failed`, `${title}: failed`, 'requests', none),
  ]
}

function pacedRows(intervalMs: (typeof pacedIntervalsMs)[number]): Measure[] {
  const title = `interval ${intervalMs} ms`
  const p95Max = intervalMs === 200 ? 250 : 100
  return [
    row('paced', `${intervalMs}.p50`, `${title}: p50`, 'ms'),
    row('paced', `${intervalMs}.p95`, `${title}: p95`, 'ms', { required: atMost(p95Max) }),
    row('paced', `${intervalMs}.p99`, `${title}: p99`, 'ms'),
    row('paced', `${intervalMs}.failed`, `${title}: failed or never answered`, 'requests', none),
    row('paced', `${intervalMs}.memory`, `${title}: peak memory of the server`, 'MB', memory),
  ]
}

function baselineRows(): Measure[] {
  return [1, 16].flatMap((writers) => {
    const title = `${writers} writer${writers === 1 ? '' : 's'}`
    return [
      row('baseline', `${writers}.rate`, `${title}: committed`, 'entries/s'),
      row('baseline', `${writers}.failures`, `${title}: transactions that failed`, '%'),
    ]
  })
}

function verifierRows(): Measure[] {
  const noticed = { combine: 'max', required: atMost(60) } as const
  return [
    row('ratios', 'verifier', 'NDJSON with the verifier / without it', 'x', { required: atLeast(0.9) }),
    row('verifier', 'ingestWith', 'NDJSON, with it', 'entries/s'),
    row('verifier', 'ingestWithout', 'NDJSON, without it', 'entries/s'),
    row('verifier', 'lag', 'entries that it had not hashed at the last answer', 'entries'),
    row('verifier', 'caughtUp', 'last answer to all hashed', 's'),
    row('verifier', 'idle', 'it and its sessions on an idle log, share of a core', '%', { required: atMost(5) }),
    ...['update', 'delete', 'insert'].map((name) => row('verifier', name, `SQL ${name} to webhook`, 's', noticed)),
  ]
}

function witnessRows(): Measure[] {
  return [
    row('ratios', 'cosigned', 'NDJSON with three witnesses and time stamps / without', 'x', { required: atLeast(0.9) }),
    row('witness', 'perCore', 'add-checkpoint for each core that it takes', 'answers/s', { required: atLeast(2_000) }),
    row('witness', 'rate', 'add-checkpoint, 64 connections', 'answers/s'),
    row('witness', 'p99', 'add-checkpoint: p99', 'ms'),
    row('witness', 'failed', 'requests that failed', 'requests', none),
    row('witness', 'memory', 'its peak memory, 1,000 logs', 'MB', { combine: 'max', required: atMost(120) }),
    row('cosigned', 'p50', 'POST to a checkpoint that 2 of 3 cosigned, 5,000 entries/s: p50', 'ms'),
    row('cosigned', 'p99', 'POST to a checkpoint that 2 of 3 cosigned, 5,000 entries/s: p99', 'ms', {
      required: atMost(1_000),
    }),
    row('cosigned', 'failed', 'requests that failed', 'requests', none),
    row('cosigned', 'ingestWith', 'NDJSON, with three witnesses and time stamps', 'entries/s'),
    row('cosigned', 'ingestWithout', 'NDJSON, without', 'entries/s'),
    row('evidence', 'check', '`dendrolog check` of a bundle, start to end', 'ms', { required: atMost(150) }),
    row('evidence', 'node', 'a Node that does nothing, start to end', 'ms'),
    row('evidence', 'size', 'a bundle of one entry without stamps', 'bytes', { required: atMost(12_000) }),
  ]
}

function growthRows(): Measure[] {
  const both = (id: string, title: string, unit: string, options: (size: 'small' | 'large') => RowOptions): Measure[] =>
    (['small', 'large'] as const).map((size) =>
      row('growth', `${size}${id}`, `${title}, ${size} log`, unit, options(size)),
    )
  const always = (required: Requirement) => (): RowOptions => ({ required })
  const onlyLarge = (required: Requirement) => (size: string) => (size === 'large' ? { required } : {})
  return [
    row('ratios', 'growth', 'ingest, large log / small log', 'x', { required: atLeast(0.9) }),
    row('ratios', 'verify', 'verify --full, large log / small log', 'x', { required: atLeast(0.9) }),
    row('ratios', 'smallPaged', 'verify --full / by OFFSET, small log', 'x', { required: atLeast(4.5) }),
    row('ratios', 'largePaged', 'verify --full / by OFFSET, large log', 'x', { required: atLeast(20) }),
    ...both('Ingest', 'NDJSON onto it, search follower running', 'entries/s', onlyLarge(atLeast(40_000))),
    row('growth', 'wholeIngest', 'NDJSON, all the way from the small to the large log', 'entries/s', {
      required: atLeast(40_000),
    }),
    ...both('Lag', 'search caught up after the load', 's', onlyLarge(atMost(60))),
    ...both('Inclusion', 'inclusion proofs, random index', 'answers/s', always(atLeast(8_000))),
    ...both('InclusionP95', 'inclusion proofs: p95', 'ms', () => ({})),
    ...both('Consistency', 'consistency proofs, random size', 'answers/s', () => ({})),
    ...both('ConsistencyP95', 'consistency proofs: p95', 'ms', () => ({})),
    ...both('Tiles', 'full tiles, random', 'answers/s', always(atLeast(12_000))),
    ...both('TilesP95', 'full tiles: p95', 'ms', () => ({})),
    ...both('Search', 'first page of a search: p95', 'ms', onlyLarge(atMost(100))),
    row('growth', 'smallVerify', '`verify --full`, small log', 'entries/s', { required: atLeast(110_000) }),
    row('growth', 'largeVerify', '`verify --full`, large log', 'entries/s'),
    row('growth', 'smallPaged', 'a verifier that pages with OFFSET, small log', 'entries/s'),
    row('growth', 'largePaged', 'a verifier that pages with OFFSET, large log (by samples)', 'entries/s'),
    row('growth', 'verifyMemory', 'peak memory of `verify --full`', 'MB', { combine: 'max', required: atMost(200) }),
    row('growth', 'bisect', 'one other leaf in a copy of the tiles, large log: to its index', 's', {
      required: atMost(1),
    }),
    row('growth', 'bisectProgram', 'the same with start and end of the program', 's'),
    row('growth', 'failed', 'reads that failed', 'requests', none),
    row('growth', 'startStopped', 'start to ready, large log, after a clean stop', 's', { required: atMost(3) }),
    row('growth', 'startKilled', 'start to ready, large log, after kill -9', 's', { required: atMost(10) }),
    row('growth', 'memory', 'peak memory of the server', 'MB', memory),
  ]
}

/** The one value that stands for the runs. */
export function combined({ combine }: Measure, values: readonly number[]): number {
  return combine === 'max' ? Math.max(...values) : median(values)
}

export function isMet({ kind, value }: Requirement, got: number): boolean {
  return kind === 'at least' ? got >= value : got <= value
}
