import { administrators, enabledText, grants, ownerName } from './owners.ts'

/** With these a login reads or writes what no grant gives it. */
const dangerousRoles = `
  'pg_database_owner', 'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
  'pg_execute_server_program', 'pg_maintain', 'pg_create_subscription'`

/**
 * Settings that switch triggers, foreign keys or the guard off, or open the catalogs, and what they are otherwise. Others
 * are an administrator's: time limits, memory, libraries that watch statements.
 */
const settings = `
  settings (name, harmless) as (
    values ('session_replication_role', 'origin'), ('event_triggers', 'on'), ('allow_system_table_mods', 'off')
  )`

/** Schemas, event triggers, roles, and what is set for them. */
export const clusterFacts: string = `
with ${administrators},
${settings},
roles as materialized (
  select r.*, m.place
  from pg_roles r
  join unnest($2::text[]) with ordinality as m (name, place) on m.name = r.rolname::text
),
owner_role as (
  select * from roles where place = 1
)
select 'schema ' || n.nspname as object, f.label, f.value
from pg_namespace n
cross join lateral (
  select 'owner', ${ownerName('n.nspowner')}
  union all
  ${grants(`coalesce(n.nspacl, acldefault('n', n.nspowner))`, 'n.nspowner')}
) as f (label, value)
where n.nspname in ($1::text, $1::text || '_state', $1::text || '_guard')

union all
select 'event trigger ' || e.evtname, f.label, f.value
from pg_event_trigger e
join pg_proc p on p.oid = e.evtfoid
cross join lateral (
  values
    ('state', ${enabledText('e.evtenabled')}),
    ('owner', ${ownerName('e.evtowner')}),
    ('action', concat_ws(' ', e.evtevent, e.evttags::text, p.pronamespace::regnamespace::text || '.' || p.proname))
) as f (label, value)
where e.evtname in ($1::text || '_guard_start', $1::text || '_guard_end', $1::text || '_guard_drop')

union all
select 'role ' || r.rolname, f.label, 'given'
from roles r
cross join lateral (
  values
    ('role', true),
    ('attribute superuser', r.rolsuper),
    ('attribute bypassrls', r.rolbypassrls),
    ('attribute createrole', r.rolcreaterole),
    ('attribute createdb', r.rolcreatedb),
    -- Whoever migrates may not have it to give to the one that takes backups.
    ('attribute replication', r.rolreplication and r.rolname not like '%database_admin_role'),
    ('attribute login', r.rolcanlogin and r.place = 1)
) as f (label, holds)
where f.holds

union all
select 'role ' || r.rolname, 'membership of ' || t.rolname, 'given'
from roles r
join pg_roles t
  on t.oid <> r.oid
  and (
    t.rolsuper or t.rolbypassrls or t.rolcreaterole
    or t.rolname in (${dangerousRoles})
    or t.oid in (select oid from roles)
  )
where not r.rolsuper
  and pg_has_role(r.oid, t.oid, 'member')

union all
-- Whoever may make roles could make himself a member.
select 'role ' || o.rolname, 'member ' || r.rolname, 'given'
from owner_role o
join pg_auth_members m on m.roleid = o.oid
join pg_roles r on r.oid = m.member
where not r.rolsuper
  and not r.rolcreaterole
  and r.oid not in (select oid from administrators)
  and r.oid not in (select oid from roles)

union all
select
  'default privileges of ' || o.rolname,
  coalesce(d.defaclnamespace::regnamespace::text, 'database') || ' ' || d.defaclobjtype::text,
  d.defaclacl::text
from owner_role o
join pg_default_acl d on d.defaclrole = o.oid

union all
select
  'setting ' || s.name || ' of '
    || coalesce('role ' || (select r.rolname from roles r where r.oid = d.setrole), 'the database'),
  'value',
  substr(c.text, length(s.name) + 2)
from pg_db_role_setting d
cross join lateral unnest(d.setconfig) as c (text)
join settings s on s.name = split_part(c.text, '=', 1)
where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
  and (d.setrole = 0 or d.setrole in (select oid from roles))
  and substr(c.text, length(s.name) + 2) <> s.harmless

union all
-- Names of PostgreSQL's own that another schema gives first: whoever reads the ledger with them sees what that says.
select
  'setting search_path of '
    || coalesce('role ' || (select r.rolname from roles r where r.oid = d.setrole), 'the database'),
  'value',
  split_part(c.text, '=', 2)
from pg_db_role_setting d
cross join lateral unnest(d.setconfig) as c (text)
where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
  and (d.setrole = 0 or d.setrole in (select oid from roles))
  and c.text ~ '^search_path=.*,.*\\mpg_catalog\\M'

union all
select 'setting ' || s.name || ' of the server', 'value', p.setting
from pg_settings p
join settings s on s.name = p.name
where p.setting <> s.harmless
  and p.source not in ('database', 'user', 'database user', 'global')`
