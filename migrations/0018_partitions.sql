set local role {{prefix}}ledger_owner_role;

-- One partition. Autovacuum freezes it once, when it is full, and without haste: a worker keeps up with 6,800 entries a
-- second, and what is left it does later. It never analyses it: entries are read by their sequence numbers, for which no
-- statistics are needed, and those of a partition took 0.5 s of a core, four times its vacuum.
create or replace function {{schema}}.create_partition(first_number bigint) returns void
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
       autovacuum_vacuum_cost_delay = 10,
       autovacuum_analyze_threshold = 2147483647
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
-- were archived. Two sessions exclude each other by a lock that inserts and reads do not meet. Without `only` it would be
-- taken on every partition too, and wait for each that autovacuum was at: a second (deadlock_timeout), after which the
-- vacuum gave up, to begin again. Seen to take half of the rate of ingestion from five million entries on.
create or replace function {{schema}}.ensure_partitions(up_to bigint) returns void
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
  lock table only {{schema}}.audit_logs in share update exclusive mode;
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

-- Those that are there already.
do $partitions$
declare
  partition regclass;
begin
  for partition in
    select inhrelid
    from pg_inherits
    where inhparent = '{{schema}}.audit_logs'::regclass
  loop
    execute format('alter table %s set (autovacuum_analyze_threshold = 2147483647, autovacuum_vacuum_cost_delay = 10)', partition);
    execute format('alter table %s reset (autovacuum_analyze_scale_factor)', partition);
  end loop;
end
$partitions$;

reset role;
