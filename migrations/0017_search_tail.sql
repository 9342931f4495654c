-- The segment that is not full has no indexes but those of its key and of leaf hashes, so that every search looked through
-- up to 131,071 rows of it: 12 of 17 ms of one that finds nothing among a million. While nothing is to be copied it gets
-- them too; what is copied afterwards takes longer until it is full.
set local role {{prefix}}ledger_owner_role;

-- Makes the next index that a segment has not; says whether there was one to be made. With the last one the planner gets
-- to know the segment.
create function {{schema}}_state.make_search_index(segment text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  field text;
begin
  select f.field
    into field
    from unnest(array['actor_id', 'action', 'resource', 'client_ip', 'writer']) with ordinality as f (field, place)
    where to_regclass(format('{{schema}}_state.%I', segment || '_' || f.field)) is null
    order by f.place
    limit 1;
  if field is null then
    return false;
  end if;
  execute format('create index %I on {{schema}}_state.%I (%I text_pattern_ops)', segment || '_' || field, segment, field);
  if field = 'writer' then
    execute format('analyze {{schema}}_state.%I', segment);
  end if;
  return true;
end
$$;

-- As before, of the first full segment that has not all of its indexes.
create or replace function {{schema}}_state.index_search() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  indexed bigint;
  name text;
begin
  insert into {{schema}}_state.positions (follower, position)
    values ('search', 0), ('search_indexes', 0)
    on conflict do nothing;
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  select position
    into indexed
    from {{schema}}_state.positions
    where follower = 'search_indexes'
    for update;
  if indexed + 131072 > done then
    return false;
  end if;
  name := 'search_s' || lpad((indexed + 1)::text, 16, '0');
  if {{schema}}_state.make_search_index(name) then
    return true;
  end if;
  -- Once more: it may have got its indexes when it was not full.
  execute format('analyze {{schema}}_state.%I', name);
  update {{schema}}_state.positions
    set position = indexed + 131072, updated_at = clock_timestamp()
    where follower = 'search_indexes';
  return true;
end
$$;

-- The same of the segment that is not full, from `min_rows` rows on.
create function {{schema}}_state.index_search_tail(min_rows integer) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  first_number bigint;
begin
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  first_number := done - done % 131072 + 1;
  if done is null or done - first_number + 1 < greatest(min_rows, 1) then
    return false;
  end if;
  return {{schema}}_state.make_search_index('search_s' || lpad(first_number::text, 16, '0'));
end
$$;

revoke all
  on function {{schema}}_state.make_search_index(text), {{schema}}_state.index_search_tail(integer)
  from public;

grant execute
  on function {{schema}}_state.index_search_tail(integer)
  to {{prefix}}app_state_role;

reset role;
