// What the server says of itself: who is connected, what roles may, what was written to which table. A login sees of
// other logins' sessions that they are there; an administrator's sees what they do.
import type { LogNames } from '../schema-facts.ts'
import type { Part } from './part.ts'

const rowsMax = 5_000

/** A plain list of rows of a catalog. */
function list(name: string, what: string, from: string, values: readonly unknown[] = []): Part {
  const statement = `select to_jsonb(a)::text as line
    from (${from}) as a
    limit ${rowsMax}`
  return { name, what, statement, values }
}

/** Connections of ours, too. */
export const sessionsPart: Part = list(
  'sessions',
  'who is connected (pg_stat_activity)',
  'select * from pg_stat_activity',
)

export function catalogParts({ schema }: LogNames): readonly Part[] {
  const schemas = [schema, `${schema}_state`, `${schema}_guard`]
  return [
    sessionsPart,
    list('server', 'version, times and position of the server', serverFacts),
    list('roles', 'all roles and their attributes (pg_roles)', 'select * from pg_roles'),
    list('role-memberships', 'which role is a member of which', memberships),
    list('role-settings', 'what is set for roles and databases', roleSettings),
    list('settings', 'settings that are not the default ones', `select * from pg_settings where source <> 'default'`),
    list('databases', 'all databases', 'select * from pg_database'),
    list('tables', "tables of the log's schemas: owner, file, rights", relations, [schemas]),
    list('table-statistics', "rows inserted, updated and deleted a table since the server's statistics began", counts, [
      schemas,
    ]),
    list('triggers', "triggers of the log's tables, and whether they are enabled (tgenabled)", triggers, [schemas]),
    list('event-triggers', 'event triggers, and whether they are enabled (evtenabled)', eventTriggers),
    list('functions', "functions of the log's schemas, with their bodies", functions, [schemas]),
    list('locks', 'locks that are held or waited for', 'select * from pg_locks'),
    list('prepared-transactions', 'prepared transactions', 'select * from pg_prepared_xacts'),
    list('replication-slots', 'replication slots', 'select * from pg_replication_slots'),
    list('replication', 'standbys that follow', 'select * from pg_stat_replication'),
  ]
}

const serverFacts = `select version() as version, clock_timestamp() as now, pg_postmaster_start_time() as started_at,
  pg_conf_load_time() as settings_loaded_at, pg_is_in_recovery() as is_standby, current_database() as database,
  session_user as login, inet_server_addr() as address, inet_server_port() as port,
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as wal_position,
  pg_current_snapshot()::text as snapshot`

const memberships = `select pg_get_userbyid(m.roleid) as role, pg_get_userbyid(m.member) as member,
    pg_get_userbyid(m.grantor) as grantor, m.admin_option
  from pg_auth_members as m`

const roleSettings = `select d.datname as database, r.rolname as role, s.setconfig as settings
  from pg_db_role_setting as s
  left join pg_database as d on d.oid = s.setdatabase
  left join pg_roles as r on r.oid = s.setrole`

const relations = `select n.nspname as schema, c.relname as name, c.relkind as kind, pg_get_userbyid(c.relowner) as owner,
    c.oid, c.relfilenode as file, c.reltuples as rows_about, c.relrowsecurity as has_policies, c.relacl as rights,
    c.xmin::text as xmin
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any ($1)
  order by n.nspname, c.relname`

const counts = `select *
  from pg_stat_all_tables
  where schemaname = any ($1)
  order by schemaname, relname`

const triggers = `select t.tgrelid::regclass::text as of, t.tgname, t.tgenabled, t.tgisinternal,
    pg_get_triggerdef(t.oid) as definition, t.xmin::text as xmin
  from pg_trigger as t
  join pg_class as c on c.oid = t.tgrelid
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any ($1)
  order by 1, 2`

const eventTriggers = `select e.*, e.evtfoid::regprocedure::text as function, pg_get_userbyid(e.evtowner) as owner, e.xmin::text as xmin
  from pg_event_trigger as e`

const functions = `select p.oid::regprocedure::text as function, pg_get_userbyid(p.proowner) as owner, p.prosecdef,
    p.proconfig, p.proacl, p.prosrc, p.xmin::text as xmin
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = any ($1)
  order by 1`
