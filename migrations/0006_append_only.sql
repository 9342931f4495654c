-- Stops the owner and accidents; grants stop everybody else. ENABLE ALWAYS, because a session that calls itself a
-- replica skips all other triggers. Row triggers reach every partition, TRUNCATE triggers do not: each partition gets
-- its own in ensure_partitions.
set local role {{prefix}}ledger_owner_role;

create function {{schema}}.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% of %.%: evidence is only ever inserted', lower(tg_op), tg_table_schema, tg_table_name
    using errcode = 'DL001';
end
$$;

do $append_only$
declare
  name text;
begin
  foreach name in array array[
    'audit_logs', 'entry_ids', 'tree_heads', 'tiles', 'checkpoints', 'cosignatures', 'anchors', 'findings',
    'verifier_progress', 'quarantine', 'archive_manifests'
  ] loop
    execute format(
      'create trigger refuse_change
         before update or delete on {{schema}}.%I
         for each row execute function {{schema}}.refuse_change()', name);
    execute format(
      'create trigger refuse_truncate
         before truncate on {{schema}}.%I
         for each statement execute function {{schema}}.refuse_change()', name);
    execute format('alter table {{schema}}.%I enable always trigger refuse_change', name);
    execute format('alter table {{schema}}.%I enable always trigger refuse_truncate', name);
  end loop;
end
$append_only$;

reset role;
