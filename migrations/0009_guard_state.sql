-- The guard compares what protects the evidence with a record of it, after every DDL command. Here: the state as text,
-- the record, the comparison. Nothing here holds an object's number, so a restored dump passes.
-- The schema belongs to the administrator; the owner of the evidence has no right in it.
create schema {{schema}}_guard;

revoke all on schema {{schema}}_guard from public;

-- A row of the running transaction lets its DDL pass. Written and deleted by the migrating administrator.
create table {{schema}}_guard.permits (
  backend_pid integer not null,
  txid bigint not null,
  reason text not null,
  primary key (backend_pid, txid)
);

-- The record: objects and what is right about them. Partitions are not in it: they must be as the ledger, but for
-- grants, of which they must have none.
create table {{schema}}_guard.expected (
  kind text not null,
  name text not null,
  facts text not null,
  primary key (kind, name)
);

-- Partitions that were attached and must stay so.
create table {{schema}}_guard.partitions (
  name text primary key
);

-- The evidence: what had the append-only trigger when the record was made, and every child of the ledger.
-- Here and below, a subquery around to_regnamespace makes it one call instead of one a row.
create view {{schema}}_guard.evidence as
select c.oid as relation, c.relname::text as name, false as is_partition
from {{schema}}_guard.expected e
join pg_catalog.pg_class c on c.relname = e.name::name and c.relnamespace = (select to_regnamespace('{{schema}}'))
where e.kind = 'posture'
union all
select
  c.oid,
  -- Outside of the schema it goes by another name, which no record has.
  case when c.relnamespace = (select to_regnamespace('{{schema}}')) then c.relname else c.oid::regclass::text end,
  true
from pg_catalog.pg_inherits i
join pg_catalog.pg_class c on c.oid = i.inhrelid
where i.inhparent = (select to_regclass('{{schema}}.audit_logs'));

-- Who owns a table and what stands in the way of changes; cheap enough to read for all partitions.
-- Triggers of foreign keys have numbers in their names: their functions stand for them.
create view {{schema}}_guard.posture as
with triggers as (
  select
    t.tgrelid,
    string_agg(
      concat_ws(' ',
        case when p.pronamespace = 'pg_catalog'::regnamespace then p.proname else t.tgname end,
        p.pronamespace::regnamespace, p.proname, t.tgenabled, t.tgtype, t.tgattr, t.tgqual is null, t.tgdeferrable, t.tgnargs),
      ', '
      order by p.proname, t.tgtype, t.tgname) as facts
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  group by t.tgrelid
)
select
  c.oid as relation,
  concat_ws(E'\n',
    'owner ' || c.relowner::regrole,
    'triggers ' || t.facts,
    'row security ' || c.relrowsecurity::text || c.relforcerowsecurity::text,
    'policies ' || exists (select from pg_catalog.pg_policy where polrelid = c.oid)::text,
    'rules ' || c.relhasrules::text,
    'persistence ' || c.relpersistence::text,
    'replica identity ' || c.relreplident::text) as facts
from pg_catalog.pg_class c
left join triggers t on t.tgrelid = c.oid;

-- Rights on a table and on its columns; null where nobody but the owner ever had one.
create view {{schema}}_guard.grants as
with column_grants as (
  select
    attrelid,
    string_agg(attname || attacl::text, ', ' order by attname) as facts
  from pg_catalog.pg_attribute
  where attacl is not null
  group by attrelid
)
select
  c.oid as relation,
  nullif(concat_ws(E'\n', c.relacl::text, g.facts), '') as facts
from pg_catalog.pg_class c
left join column_grants g on g.attrelid = c.oid;

-- What a table is. The ledger and its partitions differ in names only, and those are left out.
create view {{schema}}_guard.shape as
select
  c.oid as relation,
  concat_ws(E'\n',
    (
      select string_agg(
        concat_ws(' ',
          a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity,
          a.attgenerated, pg_get_expr(d.adbin, d.adrelid)),
        E'\n'
        order by a.attnum)
      from pg_catalog.pg_attribute a
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
    ),
    (
      select string_agg(
        concat_ws(' ', n.own_name, k.convalidated, pg_get_constraintdef(k.oid)),
        E'\n'
        order by n.own_name)
      from pg_catalog.pg_constraint k
      cross join lateral (select regexp_replace(k.conname, '^audit_logs(_p[0-9]{16})?', '') as own_name) n
      where k.conrelid = c.oid
        -- From PostgreSQL 18 on `not null` is a constraint too; the columns say it on all.
        and k.contype in ('c', 'p', 'u', 'f', 'x')
    ),
    (
      select string_agg(
        concat_ws(' ',
          i.indisunique, i.indisprimary, i.indimmediate, i.indisvalid, i.indisready, i.indislive,
          substring(pg_get_indexdef(i.indexrelid) from ' USING .*')),
        E'\n'
        order by substring(pg_get_indexdef(i.indexrelid) from ' USING .*'))
      from pg_catalog.pg_index i
      where i.indrelid = c.oid
    )) as facts
from pg_catalog.pg_class c;

-- All functions of the schema, and the schema itself. A body of parsed SQL has no prosrc and so differs, too.
create view {{schema}}_guard.surroundings as
select
  'function' as kind,
  p.proname || '(' || oidvectortypes(p.proargtypes) || ')' as name,
  concat_ws(E'\n',
    p.proowner::regrole, p.proacl::text, l.lanname, p.prosecdef, p.provolatile, p.proconfig::text, p.prosrc) as facts
from pg_catalog.pg_proc p
join pg_catalog.pg_language l on l.oid = p.prolang
where p.pronamespace = (select to_regnamespace('{{schema}}'))
union all
select
  'schema',
  n.nspname::text,
  concat_ws(E'\n', n.nspowner::regrole, n.nspacl::text)
from pg_catalog.pg_namespace n
where n.nspname = '{{schema}}';

-- Makes the record anew. Called when a permit is deleted: whoever deletes a permit has finished his changes.
create function {{schema}}_guard.record() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from {{schema}}_guard.expected;
  delete from {{schema}}_guard.partitions;
  insert into {{schema}}_guard.expected (kind, name, facts)
    select facts.kind, c.relname, facts.facts
    from pg_class c
    cross join lateral (
      select 'posture' as kind, p.facts from {{schema}}_guard.posture p where p.relation = c.oid
      union all
      select 'grants', coalesce(g.facts, '') from {{schema}}_guard.grants g where g.relation = c.oid
      union all
      select 'shape', s.facts from {{schema}}_guard.shape s where s.relation = c.oid
    ) as facts
    where c.relnamespace = '{{schema}}'::regnamespace
      and c.relkind in ('r', 'p')
      and not c.relispartition
      and exists (
        select
        from pg_trigger t
        where t.tgrelid = c.oid
          and t.tgfoid = '{{schema}}.refuse_change'::regproc
      );
  insert into {{schema}}_guard.expected (kind, name, facts)
    select kind, name, facts from {{schema}}_guard.surroundings;
  insert into {{schema}}_guard.partitions (name)
    select name from {{schema}}_guard.evidence where is_partition;
end
$$;

create function {{schema}}_guard.permit_ended() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform {{schema}}_guard.record();
  return null;
end
$$;

create trigger permit_ended
  after delete on {{schema}}_guard.permits
  for each statement
  execute function {{schema}}_guard.permit_ended();
