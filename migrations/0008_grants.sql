-- Every right that is not written here does not exist. Functions are open to everybody unless revoked.
set local role {{prefix}}ledger_owner_role;

grant insert
  on {{schema}}.audit_logs, {{schema}}.entry_ids, {{schema}}.tiles, {{schema}}.tree_heads, {{schema}}.quarantine
  to {{prefix}}app_writer_role;

grant select
  on {{schema}}.audit_logs, {{schema}}.entry_ids, {{schema}}.tiles, {{schema}}.tree_heads,
     {{schema}}.checkpoints, {{schema}}.cosignatures, {{schema}}.anchors,
     {{schema}}.findings, {{schema}}.verifier_progress, {{schema}}.archive_manifests
  to {{prefix}}auditor_reader_role, {{prefix}}verifier_role;

grant select
  on {{schema}}.quarantine
  to {{prefix}}verifier_role;

grant insert
  on {{schema}}.findings, {{schema}}.verifier_progress
  to {{prefix}}verifier_role;

-- The signer recomputes heads from tiles and leaf hashes; it sees nothing of what the entries say.
grant select (sequence_number, leaf_hash)
  on {{schema}}.audit_logs
  to {{prefix}}checkpoint_signer_role;

grant select
  on {{schema}}.tiles, {{schema}}.tree_heads
  to {{prefix}}checkpoint_signer_role;

grant select, insert
  on {{schema}}.checkpoints, {{schema}}.cosignatures, {{schema}}.anchors, {{schema}}.archive_manifests
  to {{prefix}}checkpoint_signer_role;

revoke all
  on all functions in schema {{schema}}
  from public;

grant execute
  on function {{schema}}.writer_head(), {{schema}}.known_entries(uuid[]), {{schema}}.newest_ids(uuid, integer),
     {{schema}}.ensure_partitions(bigint), {{schema}}.try_writer_lock()
  to {{prefix}}app_writer_role;

select {{schema}}.ensure_partitions(0);

reset role;

-- Nothing of a log needs temporary tables or large objects; either lets any login fill the disk. Rights on a database
-- are not copied with it, nor restored by a dump without --create. The functions belong to the bootstrap superuser.
do $room$
begin
  begin
    execute format('revoke temporary on database %I from public', current_database());
  exception
    when insufficient_privilege then null;
  end;
  begin
    revoke execute
      on function pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)
      from public;
  exception
    when insufficient_privilege then null;
  end;
  if has_database_privilege('{{prefix}}app_writer_role', current_database(), 'temporary') then
    raise warning 'every login can make temporary tables: revoke temporary on the database from public';
  end if;
  if has_function_privilege('{{prefix}}app_writer_role', 'pg_catalog.lo_create(oid)', 'execute') then
    raise warning 'every login can make large objects: % may not revoke that', current_user;
  end if;
end
$room$;
