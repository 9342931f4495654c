-- Roles are of the whole cluster: they may exist already, made for another log. They cannot log in until the migrating
-- server gives them a password. A role that could step over grants or triggers is refused rather than repaired.
do $roles$
declare
  name text;
begin
  foreach name in array array[
    '{{prefix}}ledger_owner_role',
    '{{prefix}}app_writer_role',
    '{{prefix}}auditor_reader_role',
    '{{prefix}}checkpoint_signer_role',
    '{{prefix}}verifier_role',
    '{{prefix}}database_admin_role',
    '{{prefix}}app_state_role',
    '{{prefix}}application_role',
    '{{prefix}}security_auditor_role'
  ] loop
    if not exists (select from pg_catalog.pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin', name);
      exception
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;

  select string_agg(rolname, ', ')
    into name
    from pg_catalog.pg_roles
    where rolname in (
        '{{prefix}}ledger_owner_role', '{{prefix}}app_writer_role', '{{prefix}}auditor_reader_role',
        '{{prefix}}checkpoint_signer_role', '{{prefix}}verifier_role', '{{prefix}}database_admin_role',
        '{{prefix}}app_state_role', '{{prefix}}application_role', '{{prefix}}security_auditor_role')
      and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb);
  if name is not null then
    raise exception 'roles with rights over the whole cluster cannot serve a log: %', name
      using errcode = 'DL004';
  end if;
end
$roles$;

-- Granting again is not free of harm: it writes the shared catalog, where several migrations at once collide.
do $members$
declare
  pair text[];
begin
  foreach pair slice 1 in array array[
    ['{{prefix}}app_writer_role', '{{prefix}}application_role'],
    ['{{prefix}}auditor_reader_role', '{{prefix}}security_auditor_role']
  ] loop
    if not pg_has_role(pair[2], pair[1], 'member') then
      execute format('grant %I to %I', pair[1], pair[2]);
    end if;
  end loop;
  -- A superuser may act as the owner anyway. Who made the role on PostgreSQL 16 or newer may administer it, no more.
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    execute format('grant {{prefix}}ledger_owner_role to %I', current_user);
  end if;
end
$members$;

-- Monitoring, and physical backups, which read the files of the cluster through the replication protocol. Where the
-- administrator has neither to give, this role is made useful by whoever has.
do $administration$
begin
  if not pg_has_role('{{prefix}}database_admin_role', 'pg_monitor', 'member') then
    grant pg_monitor to {{prefix}}database_admin_role;
  end if;
  if not (select rolreplication from pg_catalog.pg_roles where rolname = '{{prefix}}database_admin_role') then
    alter role {{prefix}}database_admin_role replication;
  end if;
exception
  when insufficient_privilege then
    raise warning 'role {{prefix}}database_admin_role cannot monitor or take physical backups: %', sqlerrm;
end
$administration$;

-- The schemas belong to the administrator: who owns a schema could drop the tables in it, whoever owns those.
create schema if not exists {{schema}};
create schema if not exists {{schema}}_state;

revoke all on schema {{schema}}, {{schema}}_state from public;

grant usage, create on schema {{schema}}, {{schema}}_state to {{prefix}}ledger_owner_role;

grant usage on schema {{schema}} to
  {{prefix}}app_writer_role,
  {{prefix}}auditor_reader_role,
  {{prefix}}checkpoint_signer_role,
  {{prefix}}verifier_role;

grant usage on schema {{schema}}_state to {{prefix}}app_state_role;
