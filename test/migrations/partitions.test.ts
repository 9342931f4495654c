import { once } from 'node:events'
import type { Client } from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readIdsFrom } from '../../src/store/known-entries.ts'
import { formatUuid } from '../../tlog/uuid.ts'
import { makeDatabase, type TestDatabase } from '../support/database.ts'
import {
  connect,
  connectAsOwner,
  denied,
  eventId,
  evidenceRows,
  firstPartitions,
  headRow,
  laterPartition,
  ledgerRow,
  otherRoot,
  outcome,
} from './ledger.ts'

let database: TestDatabase
let writer: Client

beforeEach(async () => {
  database = await makeDatabase()
  writer = await connect(database.as('app_writer_role'))
})

afterEach(() => database.drop())

async function partitions(): Promise<string[]> {
  const { rows } = await (await connect(database.admin)).query(
    `select inhrelid::regclass::text as name
     from pg_inherits
     where inhparent = 'security.audit_logs'::regclass
     order by 1`,
  )
  return rows.map(({ name }) => name.replace('security.', ''))
}

describe('ensure_partitions', () => {
  test('a new log has two partitions', async () => {
    expect(await partitions()).toEqual([...firstPartitions])
  })

  test('it makes what holds the number, and two more', async () => {
    await writer.query('select security.ensure_partitions(1)')
    expect(await partitions()).toEqual([...firstPartitions, laterPartition])
    await writer.query('select security.ensure_partitions(65536)')
    expect(await partitions()).toHaveLength(3)
    await writer.query('select security.ensure_partitions(65537)')
    expect(await partitions()).toHaveLength(4)
  })

  test('a partition takes exactly its 65,536 numbers', async () => {
    expect(await outcome(writer, ledgerRow(65_536))).toBe('ok')
    expect(await outcome(writer, ledgerRow(65_537))).toBe('ok')
    expect(await outcome(writer, ledgerRow(131_073))).toBe('23514')
    const { rows } = await (await connect(database.admin)).query(
      'select tableoid::regclass::text as partition from security.audit_logs order by sequence_number',
    )
    expect(rows.map(({ partition }) => partition)).toEqual(firstPartitions.map((name) => `security.${name}`))
  })

  test('sessions that call it at once make each partition once', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => connect(database.as('app_writer_role'))))
    const results = sessions.map((session, i) => outcome(session, `select security.ensure_partitions(${i * 65_536})`))
    expect(await Promise.all(results)).toEqual(Array(6).fill('ok'))
    expect(await partitions()).toHaveLength(7)
  })

  test('a caller behind an open transaction waits for it and makes none twice', async () => {
    const second = await connect(database.as('app_writer_role'))
    await writer.query('begin')
    await writer.query('select security.ensure_partitions(1)')
    const waiting = outcome(second, 'select security.ensure_partitions(1)')
    await writer.query('commit')
    expect(await waiting).toBe('ok')
    expect(await partitions()).toHaveLength(3)
  })

  test('it does not wait for a vacuum of another partition', async () => {
    const vacuum = await connect(database.admin)
    await vacuum.query('begin')
    // What VACUUM and ANALYZE hold while they work.
    await vacuum.query(`lock table only security.${firstPartitions[0]} in share update exclusive mode`)
    await writer.query(`set lock_timeout = '500ms'`)
    expect(await outcome(writer, 'select security.ensure_partitions(1)')).toBe('ok')
    await vacuum.query('rollback')
  })

  test('it stalls neither a reader with an open transaction nor a writer', async () => {
    const reader = await connect(database.as('auditor_reader_role'))
    await reader.query('begin')
    await reader.query('select count(*) from security.audit_logs')
    await writer.query(`set lock_timeout = '500ms'`)
    expect(await outcome(writer, 'select security.ensure_partitions(1)')).toBe('ok')
    expect(await outcome(writer, ledgerRow(1))).toBe('ok')
  })

  test('it works within the transaction that writes', async () => {
    await writer.query('begin')
    await writer.query(ledgerRow(1))
    await writer.query('select security.ensure_partitions(131072)')
    await writer.query(ledgerRow(131_073))
    expect(await outcome(writer, 'commit')).toBe('ok')
  })

  test('it does not go more than 1,024 partitions ahead of the newest head', async () => {
    for (const upTo of ['67108865', '9007199254740991', '9223372036854644735']) {
      expect(await outcome(writer, `select security.ensure_partitions(${upTo})`)).toBe('DL005')
    }
    expect(await partitions()).toHaveLength(2)
  })

  test('a partition is vacuumed when it is full, not before, and never analysed', async () => {
    await writer.query('select security.ensure_partitions(1)')
    const { rows } = await (await connect(database.admin)).query(
      `select distinct array(select unnest(reloptions) order by 1) as options
       from pg_class
       where relispartition
         and relkind = 'r'`,
    )
    expect(rows.map(({ options }) => options)).toEqual([
      [
        'autovacuum_analyze_threshold=2147483647',
        'autovacuum_vacuum_cost_delay=10',
        'autovacuum_vacuum_insert_scale_factor=0',
        'autovacuum_vacuum_insert_threshold=65535',
      ],
    ])
  })
})

describe('writer_head', () => {
  test('is one row of nulls before the log is created', async () => {
    const { rows } = await writer.query('select * from security.writer_head()')
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({ tree_size: null, seal: null, last_sequence_number: '0' })
  })

  test('is the newest head and the last row, in whichever partition', async () => {
    await writer.query(headRow(0, null))
    await writer.query(headRow(5, 0, otherRoot))
    await writer.query(ledgerRow(3))
    const first = await writer.query('select * from security.writer_head()')
    expect(first.rows[0]).toMatchObject({ tree_size: '5', previous_size: '0', last_sequence_number: '3' })
    expect(first.rows[0].root_hash).toEqual(Buffer.alloc(32, 0x11))
    expect(first.rows[0].previous_root).toEqual(Buffer.alloc(32))
    await writer.query('select security.ensure_partitions(65537)')
    await writer.query(ledgerRow(70_000))
    const second = await writer.query('select last_sequence_number from security.writer_head()')
    expect(second.rows).toEqual([{ last_sequence_number: '70000' }])
  })
})

describe('known_entries', () => {
  const known = (ids: readonly number[]): string =>
    `select * from security.known_entries(array[${ids.map(eventId).join(', ')}]::uuid[]) order by sequence_number`

  test('returns the known ids from any partition, and no others', async () => {
    for (const n of [1, 2, 65_537]) {
      await writer.query(ledgerRow(n))
      await writer.query(`insert into security.entry_ids (event_id, sequence_number) values (${eventId(n)}, ${n})`)
    }
    const { rows } = await writer.query(known([1, 65_537, 9]))
    expect(rows).toEqual(
      ['1', '65537'].map((n) => ({
        event_id: `00000000-0000-7000-8000-${n.padStart(12, '0')}`,
        sequence_number: n,
        occurred_at_us: '1767323045678901',
        lamport: '7',
        actor_id: 'a',
        action: 'b',
        resource: 'c',
        payload_hash: Buffer.alloc(32),
      })),
    )
  })

  test('an id whose row is missing is known without its content', async () => {
    await writer.query(`insert into security.entry_ids (event_id, sequence_number) values (${eventId(4)}, 4)`)
    await writer.query(`insert into security.entry_ids (event_id, sequence_number) values (${eventId(5)}, 999999999)`)
    const { rows } = await writer.query(known([4, 5]))
    expect(rows.map((row) => [row.sequence_number, row.actor_id])).toEqual([
      ['4', null],
      ['999999999', null],
    ])
  })
})

describe('newest_ids', () => {
  const idAt = (unixMs: number, n: number): string => {
    const time = unixMs.toString(16).padStart(12, '0')
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`
  }
  const schema = { evidence: 'security', state: 'security_state' }
  const read = async (fromMs: number): ReturnType<typeof readIdsFrom> =>
    readIdsFrom(async (text, values) => (await writer.query(text, values as unknown[])).rows, schema, fromMs)

  test('are those of a time and later ones', async () => {
    const times = [1_000, 1_999, 2_000, 2_001, 2 ** 48 - 1]
    for (const [n, ms] of times.entries()) {
      await writer.query('insert into security.entry_ids (event_id, sequence_number) values ($1, $2)', [
        idAt(ms, n),
        n + 1,
      ])
    }
    const { horizonMs, ids } = await read(2_000)
    expect(horizonMs).toBe(2_000)
    expect(ids.map(formatUuid)).toEqual([idAt(2 ** 48 - 1, 4), idAt(2_001, 3), idAt(2_000, 2)])
    expect((await read(2 ** 48 - 1)).ids).toHaveLength(1)
  })

  test('are the newest 65,536 at most: the horizon is above the oldest of them', async () => {
    await writer.query(
      `insert into security.entry_ids (event_id, sequence_number)
       select (lpad(to_hex(5000 + n / 1000), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid, n
       from generate_series(1, 70000) n`,
    )
    const { horizonMs, ids } = await read(2_000)
    expect(ids).toHaveLength(65_536)
    expect(horizonMs).toBe(5_000 + Math.floor((70_000 - 65_535) / 1_000) + 1)
  })
})

describe('the definer functions under a hostile search path', () => {
  // The owner would run these with its rights if a name were looked up in the caller's schema.
  const traps = [
    'create schema hostile',
    'grant usage on schema hostile to public',
    `create function hostile.trap() returns text language plpgsql as $$
       begin raise exception 'ran as %', current_user using errcode = 'TRAP0'; end $$`,
    'create function hostile.to_regclass(text) returns regclass language sql as $$ select hostile.trap()::regclass $$',
    'create function hostile.format(text, text) returns text language sql as $$ select hostile.trap() $$',
    'create function hostile.lpad(text, int, text) returns text language sql as $$ select hostile.trap() $$',
    'create function hostile.sum(bigint, int) returns bigint language sql as $$ select hostile.trap()::bigint $$',
    'create operator hostile.+ (leftarg = bigint, rightarg = int, function = hostile.sum)',
    'create operator hostile./ (leftarg = bigint, rightarg = int, function = hostile.sum)',
  ]
  const session = [
    'create temp table audit_logs (sequence_number bigint)',
    'create temp table tree_heads (tree_size bigint)',
    'create temp table pg_inherits (inhrelid oid, inhparent oid)',
    'create temp table pg_class (oid oid, relname name)',
    'set search_path = pg_temp, hostile, pg_catalog, security',
  ]

  test('do what they do otherwise', async () => {
    await writer.query(headRow(0, null))
    await writer.query(evidenceRows.entry_ids ?? '')
    const admin = await connect(database.admin)
    for (const trap of traps) await admin.query(trap)
    for (const statement of session) await writer.query(statement)
    expect(await outcome(writer, `select lpad('a'::text, 1, 'b'::text)`)).toBe('TRAP0')
    expect(await outcome(writer, 'select 1::bigint + 1')).toBe('TRAP0')
    expect(await outcome(writer, 'select security.ensure_partitions(65537)')).toBe('ok')
    const known = 'select * from security.known_entries($1)'
    expect(await outcome(writer, known, [['00000000-0000-7000-8000-000000000001']])).toBe('ok')
    const { rows } = await writer.query('select tree_size, last_sequence_number from security.writer_head()')
    expect(rows).toEqual([{ tree_size: '0', last_sequence_number: '0' }])
    expect(await partitions()).toHaveLength(4)
  })

  test("a writer's settings do not reach the partitions", async () => {
    await writer.query(`set default_table_access_method = ''`).catch(() => {})
    await writer.query(`set default_transaction_isolation = 'repeatable read'`)
    await writer.query('set check_function_bodies = off')
    await writer.query('set row_security = off')
    expect(await outcome(writer, 'select security.ensure_partitions(1)')).toBe('ok')
    expect(await partitions()).toHaveLength(3)
  })
})

describe('COPY as the writer, who may only insert', () => {
  const tables = ['audit_logs', 'entry_ids', 'tiles', 'tree_heads', 'quarantine']

  async function copyOut(client: Client, query: string, format: string): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of client.query(copyTo(`copy (${query}) to stdout (format ${format})`))) {
      chunks.push(chunk as Buffer)
    }
    return Buffer.concat(chunks)
  }

  test.each(tables.flatMap((table) => ['text', 'binary'].map((format) => [table, format])))(
    '%s takes rows in %s format',
    async (table, format) => {
      const owner = await connectAsOwner(database.admin)
      const columns = await owner.query(
        `select string_agg(attname, ', ' order by attnum) as list
         from pg_attribute
         where attrelid = $1::regclass
           and attnum > 0
           and attname <> 'id'`,
        [`security.${table}`],
      )
      const list: string = columns.rows[0].list
      await owner.query(headRow(0, null))
      await owner.query('begin')
      await owner.query(evidenceRows[table] ?? '')
      const where = table === 'tree_heads' ? 'where tree_size = 1' : ''
      const bytes = await copyOut(owner, `select ${list} from security.${table} ${where}`, format ?? '')
      await owner.query('rollback')

      const stream = writer.query(copyFrom(`copy security.${table} (${list}) from stdin (format ${format})`))
      stream.end(bytes)
      await once(stream, 'finish')
      expect(await copyOut(owner, `select ${list} from security.${table} ${where}`, format ?? '')).toEqual(bytes)
    },
  )

  test('the generated id equals the sequence number', async () => {
    await writer.query(ledgerRow(42))
    const { rows } = await (await connect(database.admin)).query('select id, sequence_number from security.audit_logs')
    expect(rows).toEqual([{ id: '42', sequence_number: '42' }])
  })

  test('the writer reads nothing back', async () => {
    expect(await outcome(writer, `${ledgerRow(1)} returning id`)).toBe(denied)
    expect(await outcome(writer, `${ledgerRow(1)} on conflict do nothing`)).toBe('ok')
  })
})
