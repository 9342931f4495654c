-- Containment: what a server did on its own when an incident was opened, and the one thing that it can do about the
-- writer's login. No evidence: what was done is an act too, which becomes an entry of the log.
set local role {{prefix}}ledger_owner_role;

alter table {{schema}}_state.opened_incidents
  -- What was done, in its order; null: nothing.
  add column containment jsonb
    check (jsonb_typeof(containment) = 'array' and octet_length(containment::text) <= 65536);

alter table {{schema}}_state.alarms
  drop constraint alarms_news_check,
  add constraint alarms_news_check check (news in ('opened', 'contained', 'closed'));

reset role;

-- Locks the writer's login out and ends its sessions; how many. It belongs to the administrator, since only one may
-- change roles, and can do nothing else. A session that logs in while this runs is seen by a second call.
create function {{schema}}_state.lock_writer() returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  alter role {{prefix}}app_writer_role nologin;
  return (
    select count(*) filter (where pg_terminate_backend(a.pid))
    from pg_stat_activity a
    where a.usename = '{{prefix}}app_writer_role'
  );
end
$$;

revoke all on function {{schema}}_state.lock_writer() from public;

grant execute
  on function {{schema}}_state.lock_writer()
  to {{prefix}}app_state_role;

do $warning$
begin
  if not (
    select r.rolsuper
      or r.rolcreaterole
      and (pg_has_role(r.oid, 'pg_signal_backend', 'usage') or pg_has_role(r.oid, '{{prefix}}app_writer_role', 'usage'))
      and (
        current_setting('server_version_num')::integer < 160000
        or pg_has_role(r.oid, '{{prefix}}app_writer_role', 'member with admin option'))
    from pg_catalog.pg_roles r
    where r.rolname = current_user
  ) then
    raise warning 'no lock for the writer: % may not lock its login and end its sessions; containment cannot use lock-writer', current_user;
  end if;
end
$warning$;
