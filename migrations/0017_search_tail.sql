-- The segment that is not full has no indexes but those of its key and of leaf hashes, so that every search looked through
-- up to 131,071 rows of it: 12 of 17 ms of one that finds nothing among a million. While nothing is to be copied it gets
-- them too; what is copied afterwards takes longer until it is full.
set local role {{prefix}}ledger_owner_role;

-- Makes one index of the segment that is not full, from `min_rows` rows on; says whether there was one to be made.
create function {{schema}}_state.index_search_tail(min_rows integer) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  first_number bigint;
  name text;
  field text;
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
  name := 'search_s' || lpad(first_number::text, 16, '0');
  select f.field
    into field
    from unnest(array['actor_id', 'action', 'resource', 'client_ip', 'writer']) with ordinality as f (field, place)
    where to_regclass(format('{{schema}}_state.%I', name || '_' || f.field)) is null
    order by f.place
    limit 1;
  if field is null then
    return false;
  end if;
  execute format('create index %I on {{schema}}_state.%I (%I text_pattern_ops)', name || '_' || field, name, field);
  if field = 'writer' then
    execute format('analyze {{schema}}_state.%I', name);
  end if;
  return true;
end
$$;

revoke all
  on function {{schema}}_state.index_search_tail(integer)
  from public;

grant execute
  on function {{schema}}_state.index_search_tail(integer)
  to {{prefix}}app_state_role;

reset role;
