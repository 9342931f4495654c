-- The guard's event triggers. Always the state decides, never the command: a command that was not thought of here
-- changes the state all the same, and one that restores it passes.

create function {{schema}}_guard.permitted() returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select
    from {{schema}}_guard.permits
    where backend_pid = pg_backend_pid()
      and txid = txid_current()
  );
end;

-- Partitions that were attached since the record was made or last extended.
create view {{schema}}_guard.new_partitions as
select e.relation, e.name
from {{schema}}_guard.evidence e
where e.is_partition
  and not exists (select from {{schema}}_guard.partitions p where p.name = e.name);

-- What differs from the record in protections: read for all evidence at every command. In PL/pgSQL, which keeps the
-- plan for the session: planning takes longer than reading the state of a hundred partitions.
create function {{schema}}_guard.changed_protections() returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    with evidence as materialized (
      select * from {{schema}}_guard.evidence
    )
    select string_agg(violation, '; ')
    from (
      -- A partition must be as the ledger: its record is the ledger's.
      select format('table %s: protections changed', e.name) as violation
        from evidence e
        join {{schema}}_guard.posture p on p.relation = e.relation
        join {{schema}}_guard.expected x
          on x.kind = 'posture'
          and x.name = case when e.is_partition then 'audit_logs' else e.name end
        where p.facts is distinct from x.facts
      union all
      select format('table %s: grants changed', e.name)
        from evidence e
        join {{schema}}_guard.grants g on g.relation = e.relation
        left join {{schema}}_guard.expected x on x.kind = 'grants' and x.name = e.name
        where coalesce(g.facts, '') is distinct from coalesce(x.facts, '')
      union all
      select format('%s %s: changed or gone', x.kind, x.name)
        from {{schema}}_guard.expected x
        left join {{schema}}_guard.surroundings s on s.kind = x.kind and s.name = x.name
        where x.kind in ('function', 'schema')
          and s.facts is distinct from x.facts
      union all
      select format('table %s: gone', x.name)
        from {{schema}}_guard.expected x
        where x.kind = 'posture'
          and to_regclass(format('{{schema}}.%I', x.name)) is null
      union all
      select format('partition %s: detached or gone', p.name)
        from {{schema}}_guard.partitions p
        left join evidence e on e.name = p.name and e.is_partition
        where e.name is null
      -- A child adds rows, and a parent triggers, that no constraint of the table knows.
      union all
      select format('table %s: a detach is pending, or it inherits or is inherited', e.name)
        from evidence e
        join pg_inherits i on i.inhrelid = e.relation
        where i.inhdetachpending
          or not e.is_partition
      union all
      select format('table %s: is inherited', e.name)
        from evidence e
        join pg_inherits i on i.inhparent = e.relation
        where e.name <> 'audit_logs'
      union all
      select format('role %s: default privileges', d.defaclrole::regrole)
        from pg_default_acl d
        where d.defaclrole = to_regrole('{{prefix}}ledger_owner_role')
    ) as violations
  );
end
$$;

-- What differs in columns, constraints and indexes of these relations, null for all; a millisecond each.
create function {{schema}}_guard.changed_shapes(relations oid[]) returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if relations = '{}' then
    return null;
  end if;
  return (
    select string_agg(format('table %s: columns, constraints or indexes changed', e.name), '; ')
    from {{schema}}_guard.evidence e
    join {{schema}}_guard.expected x
      on x.kind = 'shape'
      and x.name = case when e.is_partition then 'audit_logs' else e.name end
    join {{schema}}_guard.shape s on s.relation = e.relation
    where (relations is null or e.relation = any (relations))
      and s.facts is distinct from x.facts
  );
end
$$;

-- Those of these partitions that are not heaps in this schema with the bounds that their names say.
create function {{schema}}_guard.irregular_partitions(relations oid[]) returns text
language sql
stable
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('partition %s: not a table of this schema with the bounds of its name', c.relname), '; ')
    from pg_class c
    left join pg_am a on a.oid = c.relam
    where c.oid = any (relations)
      and not (
        c.relkind = 'r'
        and a.amname is not distinct from 'heap'
        and c.relnamespace = (select to_regnamespace('{{schema}}'))
        and case
          when c.relname !~ '^audit_logs_p[0-9]{16}$' then false
          when right(c.relname, 16)::bigint % 65536 <> 1 then false
          else pg_get_expr(c.relpartbound, c.oid) = format(
            'FOR VALUES FROM (''%s'') TO (''%s'')', right(c.relname, 16)::bigint, right(c.relname, 16)::bigint + 65536)
        end
      );
end;

-- Raises unless the state is as recorded, and records partitions that passed. `changed`: relations whose columns,
-- constraints and indexes are compared too, null for all.
create function {{schema}}_guard.check_state(changed oid[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  added oid[] := array(select relation from {{schema}}_guard.new_partitions);
  violations text := concat_ws('; ',
    {{schema}}_guard.changed_protections(),
    {{schema}}_guard.changed_shapes(case when changed is not null then changed || added end),
    {{schema}}_guard.irregular_partitions(added));
begin
  if violations <> '' then
    raise exception 'the guard of {{schema}} refuses: %', violations
      using errcode = 'DL002',
            hint = 'Evidence is changed by migrations only.';
  end if;
  if added <> '{}' then
    insert into {{schema}}_guard.partitions (name)
      select name from {{schema}}_guard.new_partitions;
  end if;
end
$$;

-- The relations that the running command names as its own; null, which means all, where it worked on the ledger itself
-- and so on each partition, unless what it did was to attach one.
create function {{schema}}_guard.changed_relations() returns oid[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  changed oid[];
begin
  select array_agg(
      case classid
        when 'pg_class'::regclass then coalesce((select indrelid from pg_index where indexrelid = objid), objid)
        when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = objid)
        when 'pg_constraint'::regclass then (select conrelid from pg_constraint where oid = objid)
      end)
    into changed
    from pg_event_trigger_ddl_commands();
  if to_regclass('{{schema}}.audit_logs') = any (changed) and not exists (select from {{schema}}_guard.new_partitions) then
    return null;
  end if;
  return coalesce(changed, '{}');
end
$$;

-- Whether a command on these relations can have reached the evidence: it names some, or is bound to some by inheritance
-- or a foreign key, or evidence is not where it was. What creates and fills tables elsewhere so costs next to nothing.
create function {{schema}}_guard.reaches_evidence(changed oid[]) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return changed is null
    or changed = '{}'
    or exists (
      select
      from {{schema}}_guard.expected e
      left join pg_class c
        on c.relname = e.name::name
        and c.relnamespace = (select to_regnamespace('{{schema}}'))
      where e.kind = 'posture'
        and (c.oid is null or c.oid = any (changed))
    )
    or exists (
      select
      from pg_inherits i
      join pg_class c on c.oid = i.inhparent
      where i.inhrelid = any (changed)
        and c.relnamespace = (select to_regnamespace('{{schema}}'))
    )
    or exists (
      select
      from pg_inherits i
      join pg_class c on c.oid = i.inhrelid
      where i.inhparent = any (changed)
        and c.relnamespace = (select to_regnamespace('{{schema}}'))
    )
    or exists (
      select
      from pg_constraint k
      join pg_class c on c.oid = k.confrelid
      where k.conrelid = any (changed)
        and c.relnamespace = (select to_regnamespace('{{schema}}'))
    );
end
$$;

-- What runs concurrently has committed before it ends, when it is too late to refuse. It cannot run inside a function
-- or beside other statements, so the text of the query is the command, and it has to name the table.
create function {{schema}}_guard.on_command_start() returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_tag in ('ALTER TABLE', 'CREATE INDEX')
    and current_query() ~* '\mconcurrently\M'
    and exists (
      select
      from {{schema}}_guard.expected e
      where e.kind = 'posture'
        -- An identifier may also be written in escapes: U&"\0061...".
        and (current_query() ~* ('\m' || e.name) or current_query() ~* 'u&"')
    )
  then
    raise exception 'the guard of {{schema}} refuses: % ... concurrently', lower(tg_tag)
      using errcode = 'DL002';
  end if;
end
$$;

create function {{schema}}_guard.on_command_end() returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed oid[];
begin
  if {{schema}}_guard.permitted() then
    return;
  end if;
  changed := {{schema}}_guard.changed_relations();
  if tg_tag not in ('CREATE TABLE', 'CREATE TABLE AS', 'CREATE INDEX', 'CREATE TRIGGER', 'ALTER TABLE')
    or {{schema}}_guard.reaches_evidence(changed)
  then
    perform {{schema}}_guard.check_state(changed);
  end if;
end
$$;

create function {{schema}}_guard.on_drop() returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if {{schema}}_guard.permitted() then
    return;
  end if;
  if exists (
    select
    from pg_event_trigger_dropped_objects()
    where schema_name = '{{schema}}'
      or address_names[1] = '{{schema}}'
  ) then
    perform {{schema}}_guard.check_state(null);
  else
    perform {{schema}}_guard.check_state('{}');
  end if;
end
$$;

revoke all
  on all functions in schema {{schema}}_guard
  from public;

select {{schema}}_guard.record();

-- ENABLE ALWAYS: a session that calls itself a replica would pass otherwise.
do $event_triggers$
begin
  create event trigger {{schema}}_guard_start
    on ddl_command_start
    execute function {{schema}}_guard.on_command_start();
  create event trigger {{schema}}_guard_end
    on ddl_command_end
    execute function {{schema}}_guard.on_command_end();
  create event trigger {{schema}}_guard_drop
    on sql_drop
    execute function {{schema}}_guard.on_drop();
  alter event trigger {{schema}}_guard_start enable always;
  alter event trigger {{schema}}_guard_end enable always;
  alter event trigger {{schema}}_guard_drop enable always;
exception
  when insufficient_privilege then
    raise warning 'no guard: % may not create event triggers; the owner can change what protects the evidence', current_user;
end
$event_triggers$;
