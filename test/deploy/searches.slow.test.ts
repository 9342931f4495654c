import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Environment, type Finished, finished, makeFolder, removeFolder, run } from '../cli/binary.ts'
import { until } from '../support/log.ts'
import { openReceiver } from '../support/receiver.ts'
import {
  adminConfig,
  childrenOf,
  endAll,
  restartPostgres,
  type ServerProcess,
  startServer,
  waitUntilReady,
} from '../support/server-process.ts'

// What the searches of Splunk and OpenSearch look for stands in lines that a real server and real jobs write.

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')
const noDatabase = 'postgres://nobody@127.0.0.1:1/nothing'

type Line = Readonly<Record<string, unknown>>

let folder: string
let dataDir: string
let server: ServerProcess
let lines: readonly Line[]

beforeAll(async () => {
  folder = await makeFolder()
  dataDir = join(folder, 'data')
  server = await startServer(dataDir)
  await waitUntilReady(server)
  await append(300)
  await said('"msg":"verified"')
  await restartPostgres(dataDir, 'immediate')
  await said('"msg":"the verifier cannot check"')
  await said('"msg":"the verifier can check again"')
  await asSuperuser(`update security.audit_logs set payload = '{}' where sequence_number = 7`)
  await killVerifier()
  await said('"msg":"an incident was opened"')
  const jobs = [
    await run(['verify', '--json'], { DENDROLOG_DATA_DIR: dataDir }),
    await run(['verify', '--full', '--json'], { DENDROLOG_DATA_DIR: dataDir }),
    await run(['verify', '--full', '--json'], { DENDROLOG_READER_URL: noDatabase, DENDROLOG_DATA_DIR: folder }),
  ]
  expect(jobs.map(({ status }) => status)).toEqual([1, 1, 2])
  lines = [server.output(), ...jobs.map(({ stdout }) => stdout)].flatMap(jsonLines)
}, 180_000)
afterAll(async () => {
  await endAll(dataDir)
  await removeFolder(folder)
})

function jsonLines(text: string): Line[] {
  const texts = text.split('\n').filter((line) => line.startsWith('{'))
  return texts.map((line) => JSON.parse(line) as Line)
}

async function append(count: number): Promise<void> {
  const event = JSON.stringify({ actorId: 'a', action: 'b', resource: 'c', payload: { d: 1 } })
  const answer = await fetch(`${server.url}/v1/entries?wait=published`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.tokens.writer}`, 'content-type': 'application/x-ndjson' },
    body: Array<string>(count).fill(event).join('\n'),
  })
  expect(answer.status).toBe(200)
}

const said = (text: string): Promise<void> =>
  until(
    () => server.output().includes(text),
    () => `${text}; ${server.output().slice(-1_000)}`,
    90_000,
  )

async function asSuperuser(statement: string): Promise<void> {
  const client = new Client(await adminConfig(dataDir))
  await client.connect()
  try {
    await client.query(`do $$ declare name text; begin
      for name in select evtname from pg_event_trigger loop execute format('alter event trigger %I disable', name); end loop;
      for name in select tgrelid::regclass::text from pg_trigger where tgname = 'refuse_change' and tgrelid::regclass::text like 'security.audit_logs_p%' loop
        execute 'alter table ' || name || ' disable trigger refuse_change';
      end loop;
    end $$`)
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** One that starts again probes for changes at once. */
async function killVerifier(): Promise<void> {
  for (const pid of await childrenOf(server.child.pid ?? 0)) {
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0verify\0')) process.kill(pid, 'SIGKILL')
  }
  await said('"msg":"the verifier has ended; it is started again"')
}

/** What a search wants: members, and values that they must have somewhere. */
type Wanted = { readonly fields: readonly string[]; readonly values: readonly (readonly [string, unknown])[] }

function missingFrom({ fields, values }: Wanted): unknown[] {
  return [
    ...fields.filter((field) => !lines.some((line) => field in line)),
    ...values.filter(([field, value]) => !lines.some((line) => isValue(line[field], value))),
  ]
}

/** A value that ends in an asterisk is the beginning of one. */
function isValue(found: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'string' || !wanted.endsWith('*')) return found === wanted
  return typeof found === 'string' && found.startsWith(wanted.slice(0, -1))
}

describe('a server says', () => {
  test('that its verifier works, with how far it is', () => {
    expect(lines.find(({ msg }) => msg === 'verified')).toMatchObject({
      ...{ level: 30, isSecure: true, verifiedSize: expect.any(Number), size: expect.any(Number), findings: 0 },
      // A pass over so few entries may be over when the first line is written.
      ...{ checkedMs: expect.any(Number), coveredMs: expect.toBeOneOf([null, expect.any(Number)]) },
    })
  })

  test('what its verifier found, once, and that an incident was opened', () => {
    const found = lines.filter(({ msg, violationType }) => msg !== undefined && violationType === 'PAYLOAD_CORRUPT')
    expect(found.map(({ msg, level, sequenceNumber }) => [msg, level, sequenceNumber])).toEqual([
      ['the verifier found a violation', 50, 7],
      ['an incident was opened', 50, 7],
    ])
  })
})

const stanzas = read('splunk/savedsearches.conf')
  .replaceAll('\\\n', ' ')
  .split(/^(?=\[)/m)
  .slice(1)
const spl =
  /^(NOT|OR|AND|as|by|where|stats|fillnull|value|eval|coalesce|count|max|min|latest|range|isnum|tonumber|relative_time|now|dendrolog|null|host|_time)$/

/** Words outside of quotes that are no part of the language, nor names that the search gives itself. */
function splunkWanted(stanza: string): Wanted {
  const search = /^search = (.*)$/m.exec(stanza)?.[1] ?? ''
  const given = [...search.matchAll(/ as (\w+)/g)].map(([, name]) => name)
  const words = search.replaceAll(/"[^"]*"|=(\w+)/g, ' ').match(/\b[a-z_]\w*/gi) ?? []
  const compared = [...search.matchAll(/(\w+)=(?:"([^"]*)"|(true|false))/g)]
  return {
    fields: words.filter((word) => !spl.test(word) && !given.includes(word)),
    values: compared
      .filter(([, name]) => name !== 'value')
      .map(([, name = '', text, bool]) => [name, text ?? bool === 'true'] as const),
  }
}

describe.each(stanzas.map((stanza) => [/^\[(.*)\]/.exec(stanza)?.[1] ?? '', stanza] as const))(
  'Splunk: %s',
  (_, stanza) => {
    test('looks for what lines have', () => {
      const wanted = splunkWanted(stanza)
      expect(wanted.fields).not.toEqual([])
      expect(missingFrom(wanted)).toEqual([])
    })

    test('is scheduled, tracked, and told once in a while', () => {
      const names = [...stanza.matchAll(/^([\w.]+) = /gm)].map(([, name]) => name)
      const needed = ['enableSched', 'cron_schedule', 'dispatch.earliest_time', 'dispatch.latest_time', 'counttype']
      expect(names).toEqual(
        expect.arrayContaining([...needed, 'relation', 'quantity', 'alert.track', 'alert.severity']),
      )
      expect(new Set(names).size).toBe(names.length)
    })
  },
)

type Trigger = { readonly condition: { readonly script: { readonly source: string } } }
type Monitor = {
  readonly monitor_type: string
  readonly inputs: readonly { readonly search: { readonly indices: readonly string[]; readonly query: Line } }[]
  readonly triggers: readonly { readonly query_level_trigger: Trigger }[]
}
const monitors = readdirSync(join(deploy, 'opensearch', 'monitors'))
const template = JSON.parse(read('opensearch/index-template.json')) as {
  readonly index_patterns: readonly string[]
  readonly template: { readonly mappings: { readonly properties: Line } }
}

const leaves = ['term', 'match_phrase', 'range']

/** Of a query and its aggregations; the time of a line is its shipper's. */
function openSearchWanted(node: unknown, inside = ''): Wanted {
  if (typeof node !== 'object' || node === null) return { fields: [], values: [] }
  const parts = Object.entries(node).map(([key, value]): Wanted => {
    if (key === '@timestamp') return { fields: [], values: [] }
    if (key === 'field') return { fields: [String(value)], values: [] }
    if (leaves.includes(inside)) return { fields: [key], values: inside === 'range' ? [] : [[key, value]] }
    return openSearchWanted(value, key)
  })
  return { fields: parts.flatMap(({ fields }) => fields), values: parts.flatMap(({ values }) => values) }
}

describe.each(monitors)('OpenSearch: %s', (file) => {
  const { monitor_type, inputs, triggers } = JSON.parse(read(`opensearch/monitors/${file}`)) as Monitor
  const wanted = openSearchWanted(inputs)

  test('looks for what lines have', () => {
    expect(wanted.fields).not.toEqual([])
    const words = JSON.stringify(triggers)
    const shown = [...words.matchAll(/_source\.(\w+)/g)].map(([, name = '']) => name)
    expect(missingFrom({ ...wanted, fields: [...wanted.fields, ...shown] })).toEqual([])
  })

  test('looks in the indices of the template, at what that maps', () => {
    expect(inputs.map(({ search }) => search.indices)).toEqual([template.index_patterns])
    expect(wanted.fields.filter((field) => !(field in template.template.mappings.properties))).toEqual([])
  })

  test('has triggers on aggregations that it makes', () => {
    expect(monitor_type).toBe('query_level_monitor')
    const made = Object.keys(inputs[0]?.search.query.aggregations ?? {})
    const asked = triggers.flatMap(({ query_level_trigger: { condition } }) =>
      [...condition.script.source.matchAll(/aggregations\.(\w+)/g)].map(([, name]) => name),
    )
    expect(asked.sort()).toEqual(made.sort())
  })
})

describe('a job', () => {
  async function job(environment: Environment): Promise<Finished & { readonly told: readonly string[] }> {
    const receiver = await openReceiver('/ping')
    try {
      const env = { PATH: process.env.PATH, HEARTBEAT_URL: receiver.url, ...environment }
      const args = ['--full', '--json']
      const done = await finished(spawn(join(deploy, 'cron', 'verify-job'), args, { env, stdio: 'pipe', cwd: folder }))
      return { ...done, told: receiver.received.map(({ path }) => path) }
    } finally {
      await receiver.close()
    }
  }

  test('that finds something ends with 1, and tells the dead-man service so', async () => {
    const { status, stdout, told } = await job({ DENDROLOG_DATA_DIR: dataDir })
    expect([status, told]).toEqual([1, ['/ping/start', '/ping/1']])
    expect(JSON.parse(stdout)).toMatchObject({
      isSecure: false,
      violationType: 'PAYLOAD_CORRUPT',
      tamperedLogSequence: 7,
    })
  })

  test('that cannot check ends with 2, and tells the dead-man service so', async () => {
    const { status, told } = await job({ DENDROLOG_READER_URL: noDatabase, DENDROLOG_DATA_DIR: folder })
    expect([status, told]).toEqual([2, ['/ping/start', '/ping/2']])
  })

  test('ends as it would where no dead-man service answers', async () => {
    const { status, stderr } = await job({ DENDROLOG_DATA_DIR: dataDir, HEARTBEAT_URL: 'http://127.0.0.1:1' })
    expect(status).toBe(1)
    expect(stderr).toContain('verify-job: heartbeat: ')
  })
})
