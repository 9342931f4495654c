-- What the log did itself, on its way to becoming entries: an outbox. A row is written with the change it tells of and
-- goes when its entry is durable. No evidence: what makes an act count is the log's signature, which is made before the
-- row is written and checked before it becomes an entry, so that this login alone can make the log say nothing.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}_state.acts (
  -- The id of the entry that it becomes (UUIDv7): however often it is submitted, it is one entry.
  id uuid primary key,
  action text not null check (starts_with(action, 'dendrolog.') and char_length(action) <= 100),
  resource text not null check (char_length(resource) between 1 and 255),
  -- Who did it: token:NAME, or dendrolog for the log itself.
  actor text not null check (char_length(actor) between 1 and 255),
  occurred_at timestamptz not null,
  detail jsonb not null check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 65536),
  -- The signed note over all of it.
  signature text not null check (octet_length(signature) between 1 and 4096),
  created_at timestamptz not null default clock_timestamp()
);

-- Full means refused: an act that is not told must not be done. By the number of rows that are seen, so that those who
-- insert at the same time may go a few beyond it. Configuration limit exceeded: it passes when the log takes entries.
create function {{schema}}_state.bound_acts() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if (select count(*) from {{schema}}_state.acts) >= 10000 then
    raise exception 'acts: 10,000 of them wait to become entries'
      using errcode = '53400';
  end if;
  return null;
end
$$;

create trigger bound_acts
  before insert on {{schema}}_state.acts
  for each statement
  execute function {{schema}}_state.bound_acts();

-- The settings that a server ran with last, secrets hidden: what differs at its next start is told.
create table {{schema}}_state.settings (
  -- An id that the server keeps in its data folder.
  server text primary key check (char_length(server) between 1 and 255),
  settings jsonb not null check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 65536),
  updated_at timestamptz not null default clock_timestamp()
);

-- Migrations that were told, or were there when the log began. Those of a log that is older than this file: the ones
-- before it, told by nobody.
create table {{schema}}_state.told_migrations (
  version integer primary key,
  told_at timestamptz not null default clock_timestamp()
);

insert into {{schema}}_state.told_migrations (version)
  select version
  from generate_series(1, 13) as version
  where exists (select from {{schema}}.tree_heads);

-- Since when an act tells of it; null where none does yet.
alter table {{schema}}_state.incidents
  add column told_at timestamptz;

grant select, insert, delete
  on {{schema}}_state.acts
  to {{prefix}}app_state_role;

grant select, insert, update
  on {{schema}}_state.settings
  to {{prefix}}app_state_role;

grant select, insert
  on {{schema}}_state.told_migrations
  to {{prefix}}app_state_role;

reset role;

-- The list of migrations is the administrator's own; its owner may let others read it.
grant select
  on {{schema}}.schema_migrations
  to {{prefix}}ledger_owner_role;

set local role {{prefix}}ledger_owner_role;

create function {{schema}}_state.applied_migrations()
  returns table (version integer, name text, sha256 bytea, applied_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select m.version, m.name, m.sha256, m.applied_at
    from {{schema}}.schema_migrations m;
end;

revoke all
  on function {{schema}}_state.bound_acts(), {{schema}}_state.applied_migrations()
  from public;

grant execute
  on function {{schema}}_state.applied_migrations()
  to {{prefix}}app_state_role;

reset role;
