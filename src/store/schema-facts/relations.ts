import { administrators, enabledText, grants, ownerName } from './owners.ts'

/** Columns, constraints and indexes by their names; expressions as PostgreSQL writes them. */
const shape = `
    select
      'column ' || a.attname,
      concat_ws(' ',
        format_type(a.atttypid, a.atttypmod),
        case when a.attcollation <> t.typcollation then 'collate ' || l.collname end,
        case when a.attnotnull then 'not null' end,
        case when a.attidentity <> '' then 'identity' end,
        case when a.attgenerated <> '' then 'generated ' || a.attgenerated::text else 'default' end
          || ' ' || pg_get_expr(d.adbin, d.adrelid))
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_collation l on l.oid = a.attcollation
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = r.oid
      and a.attnum > 0
      and not a.attisdropped
      and r.relkind <> 'v'
    union all
    -- From PostgreSQL 18 on 'not null' is a constraint too; the columns say it on all.
    select
      'constraint ' || k.conname,
      concat_ws(' ',
        k.contype,
        case when k.contype <> 'c' then '(' || c.names || ')' end,
        case when k.contype = 'f' then 'of ' || f.relnamespace::regnamespace::text || '.' || f.relname || ' (' || o.names || ')' end,
        case when k.contype = 'f' then k.confmatchtype::text || k.confupdtype::text || k.confdeltype::text end,
        case when not k.convalidated then 'not valid' end,
        case when k.condeferrable then 'deferrable' end,
        pg_get_expr(k.conbin, k.conrelid))
    from pg_constraint k
    left join pg_class f on f.oid = k.confrelid
    cross join lateral (
      select string_agg(a.attname, ', ' order by u.place) as names
      from unnest(k.conkey) with ordinality as u (number, place)
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number
    ) c
    cross join lateral (
      select string_agg(a.attname, ', ' order by u.place) as names
      from unnest(k.confkey) with ordinality as u (number, place)
      join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number
    ) o
    where k.conrelid = r.oid
      and k.contype in ('c', 'p', 'u', 'f', 'x')
    union all
    select
      'index ' || c.relname,
      concat_ws(' ',
        case when x.indisunique then 'unique' end,
        case when x.indisprimary then 'primary' end,
        case when not x.indimmediate then 'deferred' end,
        case when not (x.indisvalid and x.indisready and x.indislive) then 'not in use' end,
        m.amname,
        '(' || k.names || ')',
        (select string_agg(p.opcname, ', ' order by u.place)
         from unnest(x.indclass::oid[]) with ordinality as u (class, place)
         join pg_opclass p on p.oid = u.class),
        case when x.indexprs is not null then 'of expressions' end,
        case when x.indpred is not null then 'partial' end)
    from pg_index x
    join pg_class c on c.oid = x.indexrelid
    join pg_am m on m.oid = c.relam
    cross join lateral (
      select string_agg(a.attname, ', ' order by a.attnum) as names
      from pg_attribute a
      where a.attrelid = x.indexrelid
    ) k
    where x.indrelid = r.oid`

/** What stands in the way of changes, and who may pass. Triggers of foreign keys have numbers in their names. */
const protection = `
    select
      'trigger ' || case when p.pronamespace = 'pg_catalog'::regnamespace then p.proname else t.tgname end,
      concat_ws(' ',
        ${enabledText('t.tgenabled')},
        'type', t.tgtype, nullif(t.tgattr::text, ''),
        case when t.tgqual is not null then 'when' end,
        case when t.tgdeferrable then 'deferrable' end,
        'with', t.tgnargs, p.pronamespace::regnamespace::text || '.' || p.proname)
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = r.oid
    union all
    select 'rule ' || w.rulename, ${enabledText('w.ev_enabled')}
    from pg_rewrite w
    where w.ev_class = r.oid
      and r.relkind <> 'v'
    union all
    select 'policy ' || l.polname, l.polcmd::text
    from pg_policy l
    where l.polrelid = r.oid
    union all
    select 'row security', case when r.relforcerowsecurity then 'forced' else 'on' end
    where r.relrowsecurity or r.relforcerowsecurity
    union all
    ${grants('r.relacl', 'r.relowner')}
    union all
    select g.label, g.value
    from pg_attribute a
    cross join lateral (${grants('a.attacl', 'r.relowner', `' (' || a.attname || ')'`)}) as g (label, value)
    where a.attrelid = r.oid
      and a.attacl is not null`

/** Tables of the evidence, of the guard and of what changes, and the partitions of the ledger wherever they are. */
export const relationFacts: string = `
with ${administrators},
relations as materialized (
  select c.*, n.nspname || '.' || c.relname as object
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and (
      n.nspname in ($1::text, $1::text || '_guard')
      -- Segments of the search tables are compared row by row.
      or n.nspname = $1::text || '_state' and not c.relispartition
      or c.oid in (
        select i.inhrelid
        from pg_inherits i
        where i.inhparent = to_regclass(format('%I.audit_logs', $1::text))
      )
    )
)
select r.object, f.label, f.value
from relations r
cross join lateral (
    select
      'kind',
      concat_ws(' ',
        case r.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
        case r.relkind
          when 'r' then 'table'
          when 'p' then 'partitioned table'
          when 'v' then 'view'
          when 'm' then 'materialized view'
          else 'foreign table'
        end)
    union all
    select 'owner', ${ownerName('r.relowner')}
    union all
    select 'access method', m.amname
    from pg_am m
    where m.oid = r.relam
    union all
    -- Up to PostgreSQL 15 columns are written with the aliases of their tables even where there is only one.
    select 'definition', regexp_replace(regexp_replace(pg_get_viewdef(r.oid), '\\s+', ' ', 'g'), '\\m[a-z]\\.', '', 'g')
    where r.relkind = 'v'
    union all
    select 'partitioned by', concat_ws(' ', k.partstrat, k.partattrs::text)
    from pg_partitioned_table k
    where k.partrelid = r.oid
    union all
    select
      'attachment to ' || p.relnamespace::regnamespace::text || '.' || p.relname,
      concat_ws(' ', pg_get_expr(r.relpartbound, r.oid), case when i.inhdetachpending then 'detach pending' end)
    from pg_inherits i
    join pg_class p on p.oid = i.inhparent
    where i.inhrelid = r.oid
    union all
    select 'child ' || c.relnamespace::regnamespace::text || '.' || c.relname, 'inherits'
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = r.oid
      and r.relkind <> 'p'
    union all${shape}
    union all${protection}
) as f (label, value)`
