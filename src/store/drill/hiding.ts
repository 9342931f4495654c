// Statements of those who alter something and keep others from seeing it, or from telling of it. For `dendrolog drill`.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildPyramid } from '../../../tlog/tile-nodes.ts'
import type { Schema } from '../batch.ts'
import type { Query } from '../session.ts'

/**
 * Alters the payload of an entry, and has these roles meet a type of their own under the name of PostgreSQL's, which
 * shows them the entry as it was. For sessions that begin later.
 */
export async function showOtherTypes(
  query: Query,
  { evidence }: Schema,
  sequenceNumber: number,
  roles: readonly string[],
): Promise<void> {
  await query('create schema evil')
  await query('grant usage on schema evil to public')
  await query(
    `create table evil.kept as select payload from ${evidence}.audit_logs where sequence_number = ${sequenceNumber}`,
  )
  await query('grant select on evil.kept to public')
  await query('create type evil.jsonb')
  const likeInternal = (name: string, as: string): string =>
    `create function evil.${name} language internal immutable strict as '${as}'`
  await query(likeInternal('jin(cstring) returns evil.jsonb', 'jsonb_in'))
  await query(likeInternal('jout(evil.jsonb) returns cstring', 'jsonb_out'))
  await query(likeInternal('jsend(evil.jsonb) returns bytea', 'jsonb_send'))
  await query(
    'create type evil.jsonb (input = evil.jin, output = evil.jout, send = evil.jsend, like = pg_catalog.jsonb)',
  )
  await query(
    `create function evil.show(pg_catalog.jsonb) returns evil.jsonb language plpgsql as $$
     declare shown pg_catalog.jsonb := $1;
     begin
       if shown ? 'evil' then select payload into shown from evil.kept; end if;
       return evil.jin(pg_catalog.jsonb_out(shown));
     end $$`,
  )
  await query('create cast (pg_catalog.jsonb as evil.jsonb) with function evil.show(pg_catalog.jsonb)')
  for (const role of roles) {
    await query(
      `do $$ begin
         execute format('alter role ${role} in database %I set search_path = evil, pg_catalog', current_database());
       end $$`,
    )
  }
  await query(`update ${evidence}.audit_logs set payload = '{"evil": true}' where sequence_number = $1`, [
    sequenceNumber,
  ])
}

/** An incident that is open, and of which all hooks were told: whatever is found of its key only counts. */
export async function pretendTold(
  query: Query,
  { state }: Schema,
  { violationType, key, hook }: { readonly violationType: string; readonly key: string; readonly hook: string },
): Promise<void> {
  const id = randomUUID()
  await query(
    `insert into ${state}.opened_incidents
       (id, violation_type, key, detail, evidence, first_seen, last_seen, opened_by, is_told)
     values ($1, $2, $3, 'known for long', '{}', now(), now(), 'dendrolog', true)`,
    [id, violationType, key],
  )
  await query(
    `insert into ${state}.alarms (incident, news, hook, attempts, delivered_at) values ($1, 'opened', $2, 1, now())`,
    [id, hook],
  )
}

/** One hash of a full tile of the lowest level, and the nodes half-way up in it as they follow from that. */
export async function alterTileAndMids(query: Query, { evidence }: Schema, index: number): Promise<void> {
  const [row] = await query(`select hashes from ${evidence}.tiles where level = 0 and tile_index = $1`, [index])
  const hashes = Uint8Array.from(row?.hashes as Uint8Array)
  hashes.fill(7, 64, 96)
  await query(`update ${evidence}.tiles set hashes = $2, mid_roots = $3 where level = 0 and tile_index = $1`, [
    index,
    hashes,
    buildPyramid(hashes)[4],
  ])
}

const vacuumsMax = 100
const vacuumPauseMs = 100

/**
 * Takes away what stands beside the rows because it is too long for them, of the entry that has most of it: its row is
 * there, and cannot be read. Of a superuser, and outside of a transaction.
 */
export async function makeUnreadable(query: Query, { evidence }: Schema, sequenceNumber: number): Promise<void> {
  const ofEntry = `from ${evidence}.audit_logs where sequence_number = $1`
  const [place] = await query(
    `select c.oid::regclass::text as partition, c.reltoastrelid::regclass::text as beside
     from pg_class c
     where c.oid = (select tableoid ${ofEntry})`,
    [sequenceNumber],
  )
  const [partition, beside] = [String(place?.partition), String(place?.beside)]
  const relkind = (kind: string): string => `update pg_class set relkind = '${kind}' where oid = '${beside}'::regclass`
  await query('set allow_system_table_mods = on')
  await query('begin')
  await query(relkind('r'))
  await query(
    `delete from ${beside}
     where chunk_id = (select chunk_id from ${beside} group by chunk_id order by sum(length(chunk_data)) desc limit 1)`,
  )
  await query(relkind('t'))
  await query('commit')
  for (let i = 0; i < vacuumsMax; i++) {
    // What was deleted there is read until it is swept away, and that it is not while anybody may still see it.
    await query(`vacuum ${partition}`)
    try {
      await query(`select payload::text ${ofEntry}`, [sequenceNumber])
    } catch {
      return
    }
    await sleep(vacuumPauseMs)
  }
  throw new Error(`entry ${sequenceNumber} can still be read`)
}
