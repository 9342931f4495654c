import type { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { VerificationReport } from '../../src/audit/report.ts'
import { entryReads } from '../../src/store/entries.ts'
import { encodeUtf8, parseHex } from '../../tlog/bytes.ts'
import { chainHash, chainText } from '../../tlog/chain.ts'
import type { SequenceNumber } from '../../tlog/coords.ts'
import { encodeLeaf } from '../../tlog/entry.ts'
import { digest, type Hash, leafHash } from '../../tlog/hash.ts'
import { jcs } from '../../tlog/jcs.ts'
import { tamper, verify } from '../support/audit.ts'
import type { TestDatabase } from '../support/database.ts'
import { copyOf } from '../support/database-copy.ts'
import { createTestLog, recordOf, recordsOf, schema, submit, type TestLog } from '../support/log.ts'

// A superuser edits copies of a log of 700 entries, two full tiles and a part of one; the verifier names what he did.

const size = 700
let home: TestLog
let copy: TestDatabase

beforeAll(async () => {
  home = await createTestLog()
  const running = await home.start()
  for (let from = 0; from < size; from += 100) {
    const records = recordsOf(from, from + 99)
    await submit(running.log, [...records, { ...recordOf(from + 99), actorId: 'actor', action: 'read||it' }])
    await running.log.waitForCheckpoint(from + 100)
  }
  await running.stop()
})
afterAll(() => home.drop())
beforeEach(async () => {
  copy = await copyOf(home.database)
})
afterEach(() => copy.drop())

async function afterTampering(work: Parameters<typeof tamper>[1]): Promise<VerificationReport> {
  await tamper(copy, work)
  return verify(copy, home.keys)
}

/** Kind and place of each finding. */
function brief({ findings }: VerificationReport): unknown[][] {
  return findings.map(({ violationType, sequenceNumber, lastSequenceNumber, fields }) => [
    violationType,
    ...(sequenceNumber === undefined ? [] : [sequenceNumber]),
    ...(lastSequenceNumber === undefined || lastSequenceNumber === sequenceNumber ? [] : [lastSequenceNumber]),
    ...(fields === undefined ? [] : [fields]),
  ])
}

const circumstances = 'timestamp, eventId, occurredAt, lamport, clientIp, writer or sourcePosition'

test('a log that nobody touched has no findings', async () => {
  const report = await verify(copy, home.keys)
  expect(report).toMatchObject({
    isSecure: true,
    totalLogsScanned: size,
    tamperedLogSequence: null,
    violationType: null,
    findings: [],
    findingsOmitted: 0,
    treeSize: size,
  })
  expect(report.checkpoints).toBeGreaterThan(7)
})

const update = (set: string, where: string): string => `update security.audit_logs set ${set} where ${where}`

describe('an entry', () => {
  test.each([
    ['payload', `payload = '{"n": 0}'`, 'PAYLOAD_CORRUPT', 'payload'],
    ['payload of another type', `payload = '[1]'`, 'PAYLOAD_CORRUPT', 'payload'],
    [
      'payload with a number that no double holds',
      `payload = '{"n": 12345678901234567890}'`,
      'PAYLOAD_CORRUPT',
      'payload',
    ],
    ['actor', `actor_id = 'somebody else'`, 'PAYLOAD_CORRUPT', 'actorId, action or resource'],
    ['action', `action = 'nothing'`, 'PAYLOAD_CORRUPT', 'actorId, action or resource'],
    ['resource', `resource = 'doc/2'`, 'PAYLOAD_CORRUPT', 'actorId, action or resource'],
    ['time', `timestamp = timestamp + interval '1 microsecond'`, 'LEAF_MISMATCH', circumstances],
    ['time, to infinity', `timestamp = 'infinity'`, 'LEAF_MISMATCH', 'timestamp'],
    ['address', `client_ip = '203.0.113.99'`, 'LEAF_MISMATCH', circumstances],
    ['identity', `writer = 'token:other'`, 'LEAF_MISMATCH', circumstances],
    ['position', `source_position = 'kafka:t/0@1'`, 'LEAF_MISMATCH', circumstances],
    ['clock', 'lamport = 9', 'LEAF_MISMATCH', circumstances],
    ['clock, below zero', 'lamport = -9', 'LEAF_MISMATCH', 'lamport'],
    ['claimed time', `occurred_at = '2020-01-01T00:00:00Z'`, 'LEAF_MISMATCH', circumstances],
    ['payload hash', `payload_hash = sha256('x')`, 'LEAF_MISMATCH', 'payloadHash'],
    ['leaf hash', `leaf_hash = sha256('x')`, 'LEAF_MISMATCH', 'leafHash'],
  ])('whose %s was altered is named', async (_, set, violationType, fields) => {
    const report = await afterTampering(update(set, 'sequence_number in (300, 650)'))
    // Entries of one batch have one time.
    const others = brief(report).filter(([kind]) => kind !== 'CLOCK_BACKWARDS')
    expect(others).toEqual([
      [violationType, 300, fields],
      [violationType, 650, fields],
    ])
    if (!set.startsWith('timestamp')) expect(others).toHaveLength(report.findings.length)
    expect(report).toMatchObject({ isSecure: false, tamperedLogSequence: 300, violationType, totalLogsScanned: size })
  })

  test('whose text was moved across a separator is named, although its chain hash holds', async () => {
    const report = await afterTampering(update(`actor_id = 'actor||read', action = 'it'`, 'sequence_number = 200'))
    expect(brief(report)).toEqual([['LEAF_MISMATCH', 200, circumstances]])
  })

  test('whose chain hash was altered is named, and the link behind it', async () => {
    const report = await afterTampering(update(`current_hash = repeat('ab', 32)`, 'sequence_number = 300'))
    expect(brief(report)).toEqual([
      ['PAYLOAD_CORRUPT', 300, 'currentHash'],
      ['CHAIN_HASH_BROKEN', 301],
    ])
  })

  test('whose previous hash was altered is named', async () => {
    const report = await afterTampering(update(`previous_hash = repeat('ab', 32)`, 'sequence_number = 300'))
    expect(brief(report)).toEqual([
      ['CHAIN_HASH_BROKEN', 300],
      ['PAYLOAD_CORRUPT', 300, 'previousHash'],
    ])
  })

  test('that was deleted is a gap, and nothing else is a finding', async () => {
    const report = await afterTampering('delete from security.audit_logs where sequence_number in (300, 301, 400)')
    expect(brief(report)).toEqual([
      ['GAP_IN_SEQUENCE', 300, 301],
      ['GAP_IN_SEQUENCE', 400],
    ])
    expect(report.totalLogsScanned).toBe(size - 3)
  })

  test('that was deleted from the unfinished tile is a gap', async () => {
    const report = await afterTampering('delete from security.audit_logs where sequence_number = 600')
    expect(brief(report)).toEqual([['GAP_IN_SEQUENCE', 600]])
  })

  test('that is entry 1 and gone is the genesis', async () => {
    const report = await afterTampering('delete from security.audit_logs where sequence_number = 1')
    expect(brief(report)).toEqual([
      ['GENESIS_TAMPER', 1],
      ['GAP_IN_SEQUENCE', 1],
    ])
  })

  test('that is entry 1 and follows something is the genesis', async () => {
    const report = await afterTampering(update(`previous_hash = repeat('ab', 32)`, 'sequence_number = 1'))
    expect(report).toMatchObject({ violationType: 'GENESIS_TAMPER', tamperedLogSequence: 1 })
  })

  test('that changed places with another breaks the chain at both', async () => {
    const report = await afterTampering(`
      update security.audit_logs set sequence_number = 60000 where sequence_number = 300;
      update security.audit_logs set sequence_number = 300 where sequence_number = 301;
      update security.audit_logs set sequence_number = 301 where sequence_number = 60000`)
    expect(report).toMatchObject({ violationType: 'CHAIN_HASH_BROKEN', tamperedLogSequence: 300 })
    // Of both, and of the one behind them.
    expect(brief(report)).toEqual(
      expect.arrayContaining([
        ['CHAIN_HASH_BROKEN', 300, 302],
        ['PAYLOAD_CORRUPT', 300, 301, 'previousHash'],
        ['KNOWN_IDS_MISMATCH', 300, 301],
      ]),
    )
  })
})

/** Makes the chain anew from entry `from` on, as somebody does who knows how it is made; leaves too where that is said. */
async function rechain(client: Client, from: number, withLeaves: boolean): Promise<void> {
  const entries = entryReads(async (text, values = []) => (await client.query(text, [...values])).rows, schema)
  let previous: string | undefined
  for (const { fields, payloadText, previousHash } of await entries.readEntries(from, size)) {
    const n = fields.sequenceNumber
    const payload: unknown = JSON.parse(payloadText)
    const linked = previous ?? previousHash
    const text = chainText(payload)
    previous = chainHash(n as SequenceNumber, fields.actorId, fields.action, fields.resource, text, linked)
    const payloadHash = digest(encodeUtf8(jcs(payload)))
    const leaf = leafHash(encodeLeaf({ ...fields, payloadHash, currentHash: parseHex(previous) as Hash }))
    await client.query(
      `update security.audit_logs set previous_hash = $2, current_hash = $3 where sequence_number = $1`,
      [n, linked, previous],
    )
    if (!withLeaves) continue
    await client.query('update security.audit_logs set payload_hash = $2, leaf_hash = $3 where sequence_number = $1', [
      ...[n, payloadHash, leaf],
    ])
  }
}

describe('a chain that was made anew', () => {
  test('with all hashes of the rows is not the tree that was signed', async () => {
    const report = await afterTampering(async (client) => {
      await client.query(update(`payload = '{"n": 0}'`, 'sequence_number = 450'))
      await rechain(client, 450, true)
    })
    // The rows of full tiles against these; what is in none against heads and checkpoints, which come every 100.
    expect(brief(report)).toEqual([
      ['ROOT_MISMATCH', 450, 512],
      ['ROOT_MISMATCH', 501, 700],
      ['ROOT_MISMATCH', 501, 700],
    ])
    expect(report).toMatchObject({ violationType: 'ROOT_MISMATCH', tamperedLogSequence: 450 })
  })

  test('of the last entry is not the tree that was signed', async () => {
    const report = await afterTampering(async (client) => {
      await client.query(update(`payload = '{"n": 0}'`, 'sequence_number = 700'))
      await rechain(client, 700, true)
    })
    expect(brief(report)).toEqual([
      ['ROOT_MISMATCH', 601, 700],
      ['ROOT_MISMATCH', 601, 700],
    ])
  })

  test('without the leaf hashes names every row', async () => {
    const report = await afterTampering(async (client) => {
      await client.query(update(`payload = '{"n": 0}'`, 'sequence_number = 450'))
      await rechain(client, 450, false)
    })
    expect(report).toMatchObject({ violationType: 'LEAF_MISMATCH', tamperedLogSequence: 450 })
    expect(report.findings.map((f) => f.lastSequenceNumber)).toContain(700)
  })

  test('and a time with the leaf hash beside it is a leaf', async () => {
    const report = await afterTampering(async (client) => {
      await client.query(update(`client_ip = '::1'`, 'sequence_number = 450'))
      const reads = entryReads(async (text, values = []) => (await client.query(text, [...values])).rows, schema)
      const [entry] = await reads.readEntries(450, 450)
      if (entry === undefined) throw new Error('no entry')
      await client.query('update security.audit_logs set leaf_hash = $1 where sequence_number = 450', [
        leafHash(encodeLeaf(entry.fields)),
      ])
    })
    expect(brief(report)).toEqual([['LEAF_MISMATCH', 450, circumstances]])
  })
})

describe('what is stored of the tree', () => {
  const flip = (column: string): string => `${column} = overlay(${column} placing '\\x00112233' from 65)`

  test.each([
    ['altered', `update security.tiles set ${flip('hashes')} where tile_index = 1`, { index: 1, problem: 'altered' }],
    [
      'altered half-way up',
      `update security.tiles set ${flip('mid_roots')} where tile_index = 1`,
      { index: 1, problem: 'mid roots altered' },
    ],
    ['deleted', 'delete from security.tiles where tile_index = 0', { index: 0, problem: 'missing' }],
    [
      'made too early',
      'insert into security.tiles (level, tile_index, hashes) select level, 2, hashes from security.tiles where tile_index = 0',
      { index: 2, problem: 'not full' },
    ],
  ])('a tile that was %s is named, and no row is', async (_, statement, place) => {
    const report = await afterTampering(statement)
    expect(report.findings).toMatchObject([{ violationType: 'TILE_MISMATCH', level: 0, ...place }])
    expect(report.tamperedLogSequence).toBeNull()
  })

  test.each([
    ['a payload', [10, 500, 650], `payload = '{}'`, 'PAYLOAD_CORRUPT'],
    ['what only the leaf is of', [10, 500, 650], `client_ip = '203.0.113.9'`, 'LEAF_MISMATCH'],
    // Of an unfinished tile nobody else has the leaf.
    ['a leaf hash too', [10], `client_ip = '203.0.113.9', leaf_hash = sha256('x')`, 'LEAF_MISMATCH'],
  ])('a tile is named, and no other row, where of rows was altered %s', async (_, places, set, kind) => {
    const { findings } = await afterTampering(
      `${update(set, `sequence_number in (${places})`)};
      update security.tiles set ${flip('hashes')} where tile_index = 1`,
    )
    expect(
      findings.map(({ violationType, sequenceNumber, index }) => [violationType, sequenceNumber ?? index]),
    ).toEqual([...places.map((place) => [kind, place]), ['TILE_MISMATCH', 1]])
  })

  test.each([`hashes || '\\x00'`, `substr(hashes, 1, 320)`, `''::bytea`])(
    'a tile of another length is named, and no row is: %s',
    async (hashes) => {
      const report = await afterTampering(
        `alter table security.tiles drop constraint tiles_hashes_check;
        update security.tiles set hashes = ${hashes} where tile_index = 1`,
      )
      const found = report.findings.filter(({ violationType }) => violationType !== 'SCHEMA_TAMPERED')
      expect(found).toMatchObject([{ violationType: 'TILE_MISMATCH', level: 0, index: 1, problem: 'altered' }])
    },
  )

  test('tile and row altered alike is told by the heads', async () => {
    const report = await afterTampering(async (client) => {
      const { rows } = await client.query<{ hashes: Buffer }>('select hashes from security.tiles where tile_index = 0')
      const hashes = rows[0]?.hashes ?? Buffer.alloc(0)
      await client.query(update(`leaf_hash = sha256('x')`, 'sequence_number = 100'))
      const other = await client.query<{ leaf: Buffer }>(`select sha256('x') as leaf`)
      other.rows[0]?.leaf.copy(hashes, 99 * 32)
      await client.query('update security.tiles set hashes = $1, mid_roots = null where tile_index = 0', [hashes])
    })
    expect(brief(report)).toEqual(expect.arrayContaining([['LEAF_MISMATCH', 100, 'leafHash']]))
    expect(report.findings.map((f) => f.violationType)).toContain('TILE_MISMATCH')
  })

  test.each([
    ['root', `root_hash = sha256('x')`],
    ['nodes', flip('frontier')],
    ['chain hash', `chain_hash = sha256('x')`],
    ['seal', `seal = sha256('x')`],
  ])('a head whose %s was altered is forged', async (_, set) => {
    const report = await afterTampering(`
      alter table security.checkpoints drop constraint checkpoints_tree_size_root_hash_fkey;
      alter table security.tree_heads drop constraint tree_heads_previous_size_previous_root_fkey;
      update security.tree_heads set ${set} where tree_size = 300`)
    expect(report.findings[0]).toMatchObject({ violationType: 'FORGED_HEAD', treeSize: 300 })
  })

  test('a newest head that nobody sealed leaves its rows unsealed', async () => {
    const report = await afterTampering(`update security.tree_heads set seal = sha256('x') where tree_size = 700`)
    expect(report.treeSize).toBe(600)
    expect(brief(report)).toEqual([['FORGED_HEAD'], ['UNSEALED_ROWS', 601, 700], ['HEAD_TRUNCATED', 601]])
  })

  test('without any head there is no log', async () => {
    const report = await afterTampering(`
      alter table security.checkpoints drop constraint checkpoints_tree_size_root_hash_fkey;
      delete from security.tree_heads`)
    expect(brief(report)).toEqual([
      ['UNSEALED_ROWS', 1, 700],
      ['HEAD_TRUNCATED', 1],
      ['TILE_MISMATCH'],
      ['SCHEMA_TAMPERED'],
    ])
  })
})

describe('a checkpoint', () => {
  test.each([
    ['signature', `note = replace(note, E'\n\u2014 ', E'\nx\n\u2014 ')`],
    ['STH', `sth_signature = overlay(sth_signature placing '\\x0011' from 20)`],
    ['time', 'timestamp_ms = timestamp_ms + 1'],
  ])('whose %s was altered is named', async (_, set) => {
    const report = await afterTampering(`update security.checkpoints set ${set} where number = 3`)
    expect(report.findings).toMatchObject([{ violationType: 'SIGNATURE_INVALID', checkpoint: 3 }])
  })

  test('of another tree is named, even if it is signed', async () => {
    const report = await afterTampering(`
      alter table security.checkpoints drop constraint checkpoints_tree_size_root_hash_fkey;
      update security.checkpoints set root_hash = sha256('x') where number = 3`)
    expect(report.findings.map((f) => f.violationType)).toEqual([
      'SIGNATURE_INVALID',
      'ROOT_MISMATCH',
      'SCHEMA_TAMPERED',
    ])
  })

  test("that is the signer's, but of another tree, is a fork", async () => {
    const last = await home.cell.read()
    if (last === undefined) throw new Error('no memory')
    const known = { treeSize: last.treeSize, root: digest(encodeUtf8('x')), knownBy: 'the signer' }
    expect(brief(await verify(copy, home.keys, [known]))).toEqual([['FORKED']])
  })
})

describe('a known id', () => {
  test('that is gone, of another entry, or of none is named', async () => {
    const report = await afterTampering(`
      delete from security.entry_ids where sequence_number = 10;
      update security.entry_ids set sequence_number = 21 where sequence_number = 20;
      insert into security.entry_ids (event_id, sequence_number) values (gen_random_uuid(), 5000)`)
    expect(report.findings).toMatchObject([
      { violationType: 'KNOWN_IDS_MISMATCH', sequenceNumber: 10, knownAs: null },
      { violationType: 'KNOWN_IDS_MISMATCH', sequenceNumber: 20, knownAs: 21 },
    ])
  })

  test('that nobody has is named', async () => {
    const report = await afterTampering(
      'insert into security.entry_ids (event_id, sequence_number) values (gen_random_uuid(), 5000)',
    )
    expect(report.findings).toMatchObject([{ violationType: 'KNOWN_IDS_MISMATCH', knownAs: 5000 }])
  })

  test('that two entries have is a conflict', async () => {
    const report = await afterTampering(
      update(
        'event_id = (select event_id from security.audit_logs where sequence_number = 30)',
        'sequence_number = 31',
      ),
    )
    expect(report.findings).toMatchObject([
      { violationType: 'LEAF_MISMATCH', sequenceNumber: 31 },
      { violationType: 'IDEMPOTENCY_CONFLICT', sequenceNumber: 31, otherSequenceNumber: 30 },
    ])
  })
})

describe('rows that no writer makes', () => {
  test.each(['timestamp', 'actor_id', 'payload', 'client_ip', 'event_id', 'writer', 'payload_hash', 'leaf_hash'])(
    'without %s are findings',
    async (column) => {
      const report = await afterTampering(`
        alter table security.audit_logs alter column ${column} drop not null;
        ${update(`${column} = null`, 'sequence_number = 300')}`)
      expect(report.isSecure).toBe(false)
      expect(report.tamperedLogSequence).toBe(300)
    },
  )

  test('of a text type are read all the same', async () => {
    const report = await afterTampering('alter table security.audit_logs alter column actor_id type text')
    expect(report.findings).toMatchObject([
      { violationType: 'SCHEMA_TAMPERED', object: 'security.audit_logs', reason: expect.stringContaining('actor_id') },
    ])
  })
})

describe('the end of the log', () => {
  test('cut from the table is a truncation', async () => {
    const report = await afterTampering('delete from security.audit_logs where sequence_number > 650')
    expect(brief(report)).toEqual([['HEAD_TRUNCATED', 651]])
    expect(report.failureDetails).toBe('the log ends at entry 650; a head knows 700')
  })

  test('cut with its heads is known by the checkpoints', async () => {
    const report = await afterTampering(`
      alter table security.checkpoints drop constraint checkpoints_tree_size_root_hash_fkey;
      delete from security.audit_logs where sequence_number > 600;
      delete from security.entry_ids where sequence_number > 600;
      delete from security.tree_heads where tree_size > 600`)
    expect(brief(report)).toEqual([['HEAD_TRUNCATED', 601], ['SCHEMA_TAMPERED']])
    expect(report.failureDetails).toBe('the log ends at entry 600; a checkpoint knows 700')
  })

  test('cut with heads and checkpoints is known by the signer', async () => {
    await tamper(
      copy,
      `delete from security.checkpoints where tree_size > 600;
      delete from security.audit_logs where sequence_number > 600;
      delete from security.entry_ids where sequence_number > 600;
      delete from security.tree_heads where tree_size > 600`,
    )
    expect((await verify(copy, home.keys)).isSecure).toBe(true)
    const last = await home.cell.read()
    if (last === undefined) throw new Error('no memory')
    const report = await verify(copy, home.keys, [{ treeSize: last.treeSize, root: last.root, knownBy: 'the signer' }])
    expect(brief(report)).toEqual([['ROLLBACK']])
    expect(report.failureDetails).toBe('the log has 600 entries; the signer knows 700')
  })

  test('with rows that no head knows is told', async () => {
    const report = await afterTampering(`
      insert into security.audit_logs (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash,
        current_hash, client_ip, event_id, writer, payload_hash, leaf_hash)
      select sequence_number + 1, timestamp, actor_id, action, resource, payload, current_hash, previous_hash, client_ip,
        gen_random_uuid(), writer, payload_hash, leaf_hash
      from security.audit_logs where sequence_number = 700`)
    expect(brief(report)).toEqual([['UNSEALED_ROWS', 701]])
  })
})
