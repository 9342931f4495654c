-- What a writer must know without SELECT on any table. Every name is qualified and the search path pinned: these run
-- with the owner's rights. They go to the partitions by name, since a plan over the parent costs time for each of them.
set local role {{prefix}}ledger_owner_role;

-- A partition holds 65,536 entries, 256 whole tiles, from the sequence number in its name on.
create function {{schema}}.partition_name(sequence_number bigint) returns text
language sql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
  select 'audit_logs_p' || lpad(((sequence_number - 1) / 65536 * 65536 + 1)::text, 16, '0')
$$;

-- The newest head, the last row, and a tile that is not of that head's tree, if there is one: what somebody inserted
-- ahead of the log. One row; all but last_sequence_number are null where no log was created.
create function {{schema}}.writer_head(
  out tree_size bigint,
  out root_hash bytea,
  out chain_hash bytea,
  out frontier bytea,
  out newest_timestamp bigint,
  out previous_size bigint,
  out previous_root bytea,
  out seal bytea,
  out last_sequence_number bigint,
  out stray_tile_level smallint,
  out stray_tile_index bigint
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  partition regclass;
begin
  select h.tree_size, h.root_hash, h.chain_hash, h.frontier, h.newest_timestamp, h.previous_size, h.previous_root, h.seal
    into tree_size, root_hash, chain_hash, frontier, newest_timestamp, previous_size, previous_root, seal
    from {{schema}}.tree_heads h
    order by h.tree_size desc
    limit 1;
  -- Newest partition first: the two made ahead are empty, the third has the row.
  for partition in
    select c.oid
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = '{{schema}}.audit_logs'::regclass
    order by c.relname desc
  loop
    execute format('select max(sequence_number) from %s', partition) into last_sequence_number;
    exit when last_sequence_number is not null;
  end loop;
  last_sequence_number := coalesce(last_sequence_number, 0);
  for height in 0..7 loop
    -- A tree has at most 2^53 leaves, none of which fills a tile of level 6.
    select t.level, t.tile_index
      into stray_tile_level, stray_tile_index
      from {{schema}}.tiles t
      where t.level = height
        and t.tile_index >= case when height < 6 then writer_head.tree_size >> (8 * height + 8) else 0 end
      limit 1;
    exit when found;
  end loop;
end
$$;

-- The known ones of `ids`. Where the entry's partition was archived and removed, only id and place are not null.
create function {{schema}}.known_entries(ids uuid[])
returns table (
  event_id uuid,
  sequence_number bigint,
  occurred_at_us bigint,
  lamport bigint,
  actor_id text,
  action text,
  resource text,
  payload_hash bytea
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
rows 10
as $$
declare
  known record;
begin
  for known in
    select
      {{schema}}.partition_name(k.sequence_number) as partition,
      array_agg(k.event_id) as event_ids,
      array_agg(k.sequence_number) as sequence_numbers
    from {{schema}}.entry_ids k
    where k.event_id = any (ids)
    group by 1
  loop
    if to_regclass(format('{{schema}}.%I', known.partition)) is null then
      return query
        select k.event_id, k.sequence_number, null::bigint, null::bigint, null::text, null::text, null::text, null::bytea
        from unnest(known.event_ids, known.sequence_numbers) as k (event_id, sequence_number);
    else
      return query execute format(
        'select k.event_id, k.sequence_number, (extract(epoch from e.occurred_at) * 1000000)::bigint, e.lamport,
                e.actor_id::text, e.action::text, e.resource::text, e.payload_hash
         from unnest($1, $2) as k (event_id, sequence_number)
         left join {{schema}}.%I e on e.sequence_number = k.sequence_number', known.partition)
        using known.event_ids, known.sequence_numbers;
    end if;
  end loop;
end
$$;

-- The ids from a lowest one on, the newest first: what a writer that starts must know of ids whose time is yet to come.
create function {{schema}}.newest_ids(from_id uuid, at_most integer) returns setof uuid
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.event_id
  from {{schema}}.entry_ids k
  where k.event_id >= from_id
  order by k.event_id desc
  limit at_most
$$;

-- The lock of the one process that works on the log. A table's lock, because it asks for rights: an advisory lock can be
-- taken by every login of the database, which reads in pg_locks what number to take. Nobody else can lock this table.
create table {{schema}}.writer_lock ();

-- Takes the lock until the transaction ends; false where another session has it. It writes nothing, so that a
-- transaction which stays open for it has no number and, read committed, no snapshot that would hold back vacuum.
create function {{schema}}.try_writer_lock() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  lock table {{schema}}.writer_lock in exclusive mode nowait;
  return true;
exception
  when lock_not_available then
    return false;
end
$$;

-- Makes one partition and attaches it. `partition of` would wait for every reader of the ledger and stall the writers
-- behind it; `like` and `attach` take no lock that a reader or a writer meets.
-- No role has rights on a partition itself: those on the ledger are what counts for whoever goes through the ledger.
-- A partition is vacuumed and analysed once, when it is full: 65,536 inserts are one more than the thresholds.
create function {{schema}}.create_partition(first_number bigint) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set default_tablespace = ''
as $$
declare
  name text := {{schema}}.partition_name(first_number);
begin
  execute format(
    'create table {{schema}}.%I (
       like {{schema}}.audit_logs
       including constraints including defaults including generated including indexes including storage
     )
     using heap
     with (
       autovacuum_vacuum_insert_threshold = 65535,
       autovacuum_vacuum_insert_scale_factor = 0,
       autovacuum_analyze_threshold = 65535,
       autovacuum_analyze_scale_factor = 0
     )', name);
  execute format(
    'create trigger refuse_truncate
       before truncate on {{schema}}.%I
       for each statement execute function {{schema}}.refuse_change()', name);
  execute format('alter table {{schema}}.%I enable always trigger refuse_truncate', name);
  execute format(
    'alter table {{schema}}.audit_logs attach partition {{schema}}.%I for values from (%s) to (%s)',
    name, first_number, first_number + 65536);
end
$$;

-- Makes the partitions up to the one of `up_to`, and two more. Partitions before the newest are never made again: they
-- were archived. Two sessions exclude each other by a lock that inserts and reads do not meet.
create function {{schema}}.ensure_partitions(up_to bigint) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Sequence number in the second partition after that of up_to.
  last_number bigint := greatest(up_to, 0) + 131072;
  next_number bigint;
begin
  if to_regclass(format('{{schema}}.%I', {{schema}}.partition_name(last_number))) is not null then
    return;
  end if;
  -- A stolen login must not fill the catalog: at most 1,024 partitions ahead of the newest head.
  if up_to > (select coalesce(max(tree_size), 0) + 67108864 from {{schema}}.tree_heads) then
    raise exception 'partitions up to %: more than 67108864 entries ahead of the newest head', up_to
      using errcode = 'DL005';
  end if;
  lock table {{schema}}.audit_logs in share update exclusive mode;
  select coalesce(max(right(c.relname, 16)::bigint) + 65536, 1)
    into next_number
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = '{{schema}}.audit_logs'::regclass;
  while next_number <= last_number loop
    perform {{schema}}.create_partition(next_number);
    next_number := next_number + 65536;
  end loop;
end
$$;

reset role;
