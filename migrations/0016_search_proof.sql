-- What makes the search tables hold again what the ledger holds, where a job that compares them found something else.
-- They are no evidence: rows are made anew from the ledger's, which that job has compared with the tree.
set local role {{prefix}}ledger_owner_role;

-- Makes the rows of the entries above `lower` and up to `upper` anew, of one segment and none above what was copied so
-- far; says how many. A segment that is gone is begun as extend_search() begins it.
create function {{schema}}_state.rebuild_search(lower bigint, upper bigint) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  last_number bigint;
  first_number bigint;
  made bigint;
  name text;
begin
  -- Neither the follower nor the maker of indexes works meanwhile.
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  last_number := least(upper, done);
  if lower < 0 or last_number is null or last_number <= lower then
    return 0;
  end if;
  if lower / 131072 <> (last_number - 1) / 131072 then
    raise exception 'entries % to % are of several segments', lower + 1, last_number
      using errcode = 'invalid_parameter_value';
  end if;
  first_number := lower - lower % 131072 + 1;
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
  delete from {{schema}}_state.search
    where sequence_number > lower and sequence_number <= last_number;
  insert into {{schema}}_state.search
      (sequence_number, timestamp, actor_id, action, resource, client_ip, writer, leaf_hash)
    select sequence_number, timestamp, actor_id, action, resource, client_ip, writer, leaf_hash
    from {{schema}}.audit_logs
    where sequence_number > lower and sequence_number <= last_number
    order by sequence_number;
  get diagnostics made = row_count;
  return made;
end
$$;

-- Takes rows away that nothing was copied to: of numbers below 1, or above what was copied so far. Says how many.
create function {{schema}}_state.trim_search() returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  done bigint;
  removed bigint;
begin
  select position
    into done
    from {{schema}}_state.positions
    where follower = 'search'
    for update;
  delete from {{schema}}_state.search
    where sequence_number < 1 or sequence_number > coalesce(done, 0);
  get diagnostics removed = row_count;
  return removed;
end
$$;

revoke all
  on function {{schema}}_state.rebuild_search(bigint, bigint), {{schema}}_state.trim_search()
  from public;

grant execute
  on function {{schema}}_state.rebuild_search(bigint, bigint), {{schema}}_state.trim_search()
  to {{prefix}}app_state_role;

reset role;
