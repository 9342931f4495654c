-- What entries are searched by, copied from the ledger by a follower behind the newest checkpoint. No evidence: whoever
-- answers from it compares what it finds with the ledger and the tree, and it can be made anew.
-- The ledger itself carries no such index: five of them took COPY from 70,000 to 29,000 rows a second. Here indexes are
-- made of a segment when it is full, sorted and at once, for a tenth of that.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}_state.search (
  sequence_number bigint not null,
  timestamp timestamptz not null,
  actor_id text not null,
  action text not null,
  resource text not null,
  client_ip text not null,
  writer text not null,
  leaf_hash bytea not null
) partition by range (sequence_number);

grant select
  on {{schema}}_state.search
  to {{prefix}}app_state_role;

-- Copies up to `max_rows` entries behind those that are there, never past `up_to` nor past the end of a segment of
-- 131,072, and says how far it came. A segment begins with the indexes of its key and of leaf hashes.
create function {{schema}}_state.extend_search(up_to bigint, max_rows integer) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  first_number bigint;
  last_number bigint;
  name text;
begin
  insert into {{schema}}_state.positions (follower, position)
    values ('search', 0)
    on conflict do nothing;
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  first_number := done - done % 131072 + 1;
  last_number := least(
    up_to,
    done + least(greatest(max_rows, 1), 131072),
    first_number + 131071,
    (select coalesce(max(tree_size), 0) from {{schema}}.tree_heads));
  if last_number <= done then
    return done;
  end if;
  name := 'search_s' || lpad(first_number::text, 16, '0');
  if to_regclass('{{schema}}_state.' || name) is null then
    execute format(
      'create table {{schema}}_state.%I (like {{schema}}_state.search, primary key (sequence_number))
         with (autovacuum_analyze_threshold = 1000000000)', name);
    execute format(
      'alter table {{schema}}_state.search attach partition {{schema}}_state.%I for values from (%s) to (%s)',
      name, first_number, first_number + 131072);
    execute format(
      'create index %I on {{schema}}_state.%I (substr(leaf_hash, 1, 8))', name || '_leaf', name);
  end if;
  execute format(
    'insert into {{schema}}_state.%I
       (sequence_number, timestamp, actor_id, action, resource, client_ip, writer, leaf_hash)
     select sequence_number, timestamp, actor_id, action, resource, client_ip, writer, leaf_hash
     from {{schema}}.audit_logs
     where sequence_number > $1 and sequence_number <= $2
     order by sequence_number', name)
    using done, last_number;
  update {{schema}}_state.positions
    set position = last_number, updated_at = clock_timestamp()
    where follower = 'search';
  return last_number;
end
$$;

-- Makes one index of a full segment that has not all of them yet; says whether there was one to be made. Values that
-- repeat stand in an index once, with the places of their rows: those are in order of sequence numbers anyhow. The
-- operators compare bytes, so that prefixes are found in any collation.
create function {{schema}}_state.index_search() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  name text;
  field text;
begin
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  select c.relname, f.field
    into name, field
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    cross join unnest(array['actor_id', 'action', 'resource', 'client_ip', 'writer']) with ordinality as f (field, place)
    where i.inhparent = '{{schema}}_state.search'::regclass
      and right(c.relname, 16)::bigint + 131071 <= done
      and not exists (
        select
        from pg_class x
        where x.relnamespace = c.relnamespace
          and x.relname = c.relname || '_' || f.field
      )
    order by c.relname, f.place
    limit 1;
  if name is null then
    return false;
  end if;
  execute format('create index %I on {{schema}}_state.%I (%I text_pattern_ops)', name || '_' || field, name, field);
  if field = 'writer' then
    execute format('analyze {{schema}}_state.%I', name);
  end if;
  return true;
end
$$;

-- The first entry from `wanted` on, above `lower` and not above `upper`; upper + 1 where there is none. Times of entries
-- never go back, so that halving finds it.
create function {{schema}}_state.search_from_time(wanted timestamptz, lower bigint, upper bigint) returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  low bigint := greatest(lower, 0);
  high bigint := upper + 1;
  middle bigint;
  found_time timestamptz;
begin
  while low + 1 < high loop
    middle := (low + high) / 2;
    select timestamp into found_time from {{schema}}_state.search where sequence_number = middle;
    if not found then
      return upper + 1;
    end if;
    if found_time >= wanted then
      high := middle;
    else
      low := middle;
    end if;
  end loop;
  return high;
end
$$;

revoke all
  on function {{schema}}_state.extend_search(bigint, integer), {{schema}}_state.index_search(),
     {{schema}}_state.search_from_time(timestamptz, bigint, bigint)
  from public;

grant execute
  on function {{schema}}_state.extend_search(bigint, integer), {{schema}}_state.index_search(),
     {{schema}}_state.search_from_time(timestamptz, bigint, bigint)
  to {{prefix}}app_state_role;

reset role;
