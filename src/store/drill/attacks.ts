// Statements of those who attack a log, for `dendrolog drill` on a copy that it made. Nothing else uses them.
import type { Schema } from '../batch.ts'
import type { Query } from '../session.ts'

/** What a role with a login of the application tries: one of them would be enough. */
export function changesOfRows({ evidence }: Schema): readonly string[] {
  return [
    `update ${evidence}.audit_logs set payload = '{}' where sequence_number = 1`,
    `delete from ${evidence}.audit_logs where sequence_number = 1`,
    `truncate ${evidence}.audit_logs`,
  ]
}

/** What the owner of the tables tries against what protects them. */
export function changesOfProtection({ evidence }: Schema): readonly string[] {
  return [
    `alter table ${evidence}.audit_logs disable trigger refuse_change`,
    `drop trigger refuse_change on ${evidence}.audit_logs`,
    `grant update on ${evidence}.audit_logs to public`,
  ]
}

/** Takes on the rights of the role that owns the table. For a superuser. */
export async function becomeOwner(query: Query, { evidence }: Schema): Promise<void> {
  await query(
    `select set_config('role', pg_get_userbyid(relowner), false)
     from pg_class
     where oid = $1::regclass`,
    [`${evidence}.audit_logs`],
  )
}

/** Of a superuser: does `work`, in one transaction, while nothing in the database defends itself, and leaves all as it was. */
export async function undefended<T>(query: Query, schema: Schema, work: () => Promise<T>): Promise<T> {
  await query(switchTriggers(schema, 'disable', 'disable'))
  // Foreign keys do not hold for a replica.
  await query(`set session_replication_role = 'replica'`)
  await query('begin')
  const result = await work()
  await query('commit')
  await query(`set session_replication_role = 'origin'`)
  await query(switchTriggers(schema, 'enable always', 'enable always'))
  return result
}

/** The guard is switched off first and on last: it would refuse the rest. */
function switchTriggers({ evidence }: Schema, triggers: 'disable' | 'enable always', guards: string): string {
  const guard = `for name in select evtname from pg_event_trigger loop
      execute format('alter event trigger %I ${guards}', name);
    end loop;`
  const tables = `for name in
      select t.tgrelid::regclass || ' ${triggers} trigger ' || quote_ident(t.tgname)
      from pg_trigger t
      join pg_class c on c.oid = t.tgrelid
      where not t.tgisinternal
        and t.tgparentid = 0
        and c.relnamespace = '${evidence}'::regnamespace
    loop
      execute 'alter table ' || name;
    end loop;`
  return `do $$ declare name text; begin ${triggers === 'disable' ? guard + tables : tables + guard} end $$`
}

/** Edits of one entry that leave its hashes as they are. `$1` is its sequence number. */
export function editsOfEntry({
  evidence,
}: Schema): Readonly<Record<'payload' | 'time' | 'address' | 'identity', string>> {
  const update = (set: string): string => `update ${evidence}.audit_logs set ${set} where sequence_number = $1`
  return {
    payload: update(`payload = jsonb_set(payload, '{altered}', 'true')`),
    time: update(`timestamp = timestamp - interval '1 microsecond'`),
    address: update(`client_ip = '203.0.113.99'`),
    identity: update(`writer = 'token:somebody-else'`),
  }
}

/** Text goes from the action into the actor, across the separator of the chain, whose hash stays the same. */
export async function moveAcrossSeparator(query: Query, { evidence }: Schema, sequenceNumber: number): Promise<void> {
  await query(
    `update ${evidence}.audit_logs
     set actor_id = actor_id || '||' || split_part(action, '||', 1), action = split_part(action, '||', 2)
     where sequence_number = $1`,
    [sequenceNumber],
  )
}

export async function deleteEntry(query: Query, { evidence }: Schema, sequenceNumber: number): Promise<void> {
  await query(`delete from ${evidence}.audit_logs where sequence_number = $1`, [sequenceNumber])
}

/** The entry and the one behind it get each other's place, with all of their hashes. */
export async function swapWithNext(query: Query, { evidence }: Schema, sequenceNumber: number): Promise<void> {
  const free = 65_536
  for (const [from, to] of [
    [sequenceNumber, free],
    [sequenceNumber + 1, sequenceNumber],
    [free, sequenceNumber + 1],
  ]) {
    await query(`update ${evidence}.audit_logs set sequence_number = $2 where sequence_number = $1`, [from, to])
  }
}

/** The log now begins with what seems to follow something. */
export async function rewriteFirst(query: Query, { evidence }: Schema): Promise<void> {
  await query(`update ${evidence}.audit_logs set previous_hash = repeat('ab', 32) where sequence_number = 1`)
}

/** The entry gets the id of another: which of them was meant cannot be told any more. */
export async function takeIdOf(
  query: Query,
  { evidence }: Schema,
  sequenceNumber: number,
  other: number,
): Promise<void> {
  await query(
    `update ${evidence}.audit_logs
     set event_id = (select event_id from ${evidence}.audit_logs where sequence_number = $2)
     where sequence_number = $1`,
    [sequenceNumber, other],
  )
}

export async function alterTile(query: Query, { evidence }: Schema, index: number): Promise<void> {
  await query(
    `update ${evidence}.tiles
     set hashes = overlay(hashes placing decode('00112233', 'hex') from 65)
     where level = 0 and tile_index = $1`,
    [index],
  )
}

/** A checkpoint that says another time than the one that was signed. */
export async function alterCheckpoint(query: Query, { evidence }: Schema, number: number): Promise<void> {
  await query(`update ${evidence}.checkpoints set timestamp_ms = timestamp_ms + 1 where number = $1`, [number])
}

/** Of a superuser, who leaves it so. */
export async function disableTrigger(query: Query, { evidence }: Schema): Promise<void> {
  await query(`alter table ${evidence}.audit_logs disable trigger refuse_change`)
}

export async function switchGuard(query: Query, how: 'disable' | 'enable always'): Promise<void> {
  await query(
    `do $$ declare name text; begin
       for name in select evtname from pg_event_trigger loop
         execute format('alter event trigger %I ${how}', name);
       end loop;
     end $$`,
  )
}

/** Cuts the rows above `size`, and what else knows of them. */
export async function cutTail(query: Query, { evidence }: Schema, size: number, alsoHeads: boolean): Promise<void> {
  await query(`delete from ${evidence}.audit_logs where sequence_number > $1`, [size])
  await query(`delete from ${evidence}.entry_ids where sequence_number > $1`, [size])
  if (!alsoHeads) return
  await query(`delete from ${evidence}.checkpoints where tree_size > $1`, [size])
  await query(`delete from ${evidence}.tree_heads where tree_size > $1`, [size])
  await query(`delete from ${evidence}.tiles where level = 0 and (tile_index + 1) * 256 > $1`, [size])
}

/** The largest head below `size`. */
export async function readHeadBelow(query: Query, { evidence }: Schema, size: number): Promise<number> {
  const [row] = await query(
    `select max(tree_size)::integer as tree_size from ${evidence}.tree_heads where tree_size < $1`,
    [size],
  )
  return Number(row?.tree_size)
}

/** With a stolen login of the writer: a row and a head on top of the newest, well formed but for the seal. */
export async function insertWithoutSeal(query: Query, { evidence }: Schema): Promise<void> {
  const [head] = await query(`select tree_size, root_hash, frontier, newest_timestamp from ${evidence}.writer_head()`)
  const size = Number(head?.tree_size)
  await query(
    `insert into ${evidence}.tree_heads
       (tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal)
     values ($1, sha256('root'), sha256('chain'), $2, $3, $4, $5, sha256('seal'))`,
    [size + 1, head?.frontier, head?.newest_timestamp, size, head?.root_hash],
  )
  await query(
    `insert into ${evidence}.audit_logs
       (sequence_number, timestamp, actor_id, action, resource, payload, previous_hash, current_hash, client_ip,
        event_id, writer, payload_hash, leaf_hash)
     values ($1, clock_timestamp(), 'an attacker', 'never.happened', 'the log', '{}', repeat('ab', 32), repeat('cd', 32),
             '203.0.113.99', gen_random_uuid(), 'token:writer', sha256('payload'), sha256('leaf'))`,
    [size + 1],
  )
}

/** With a stolen login of the writer: the id of an event that is still to come. */
export async function registerId(query: Query, { evidence }: Schema, id: string): Promise<void> {
  await query(`insert into ${evidence}.entry_ids (event_id, sequence_number) values ($1, 1)`, [id])
}

/** From now on the verifier sees the entry as it was, and everybody else another one. */
export async function showTwoFaces(
  query: Query,
  { evidence }: Schema,
  sequenceNumber: number,
  verifier: string,
): Promise<void> {
  const real = `${evidence}.audit_logs_real`
  await query(`alter table ${evidence}.audit_logs rename to audit_logs_real`)
  await query(
    `create table ${evidence}.audit_logs_other as
     select * from ${real} where sequence_number = ${sequenceNumber}`,
  )
  await query(`update ${evidence}.audit_logs_other set payload = '{"another": "story"}'`)
  await query(
    `create view ${evidence}.audit_logs as
     select * from ${real} where session_user = '${verifier}' or sequence_number <> ${sequenceNumber}
     union all
     select * from ${evidence}.audit_logs_other where session_user <> '${verifier}'`,
  )
  await query(`grant select on ${evidence}.audit_logs to public`)
  await query(`grant insert on ${evidence}.audit_logs to public`)
}
