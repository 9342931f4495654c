-- Which segments of the search tables have their indexes is kept as a position, so that a step asks the catalog for five
-- names and not for those of all segments. (Asked for all, a planner that knew the catalog's statistics cast names of
-- other tables to numbers before it left them out, and the step failed.)
set local role {{prefix}}ledger_owner_role;

create or replace function {{schema}}_state.index_search() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  indexed bigint;
  name text;
  field text;
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
  select f.field
    into field
    from unnest(array['actor_id', 'action', 'resource', 'client_ip', 'writer']) with ordinality as f (field, place)
    where to_regclass(format('{{schema}}_state.%I', name || '_' || f.field)) is null
    order by f.place
    limit 1;
  if field is not null then
    execute format('create index %I on {{schema}}_state.%I (%I text_pattern_ops)', name || '_' || field, name, field);
    return true;
  end if;
  execute format('analyze {{schema}}_state.%I', name);
  update {{schema}}_state.positions
    set position = indexed + 131072, updated_at = clock_timestamp()
    where follower = 'search_indexes';
  return true;
end
$$;

reset role;
