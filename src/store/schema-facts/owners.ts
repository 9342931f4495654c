/**
 * Who may own what the administrator made: an administrator's name is not ours to know. Log's roles never are one. `$1` is
 * the schema, `$2` the log's roles.
 */
export const administrators = `
  administrators as materialized (
    select a.oid
    from (
      select oid from pg_roles where rolsuper
      union
      select datdba from pg_database where datname = current_database()
      union
      select relowner from pg_class where oid = to_regclass(format('%I.schema_migrations', $1::text))
    ) a
    where a.oid not in (select oid from pg_roles where rolname::text = any ($2::text[]))
  )`

/** The name of an owner, as far as it is a log's role. */
export function ownerName(column: string): string {
  return `case
    when ${column} in (select oid from administrators) then 'an administrator'
    else pg_get_userbyid(${column})::text
  end`
}

/** Rights of others than the owner, who can always take and give them: a row each. */
export function grants(acl: string, owner: string, on = `''`): string {
  return `
    select
      'grant ' || acl.privilege_type || ${on} || ' to '
        || case when acl.grantee = 0 then 'public' else pg_get_userbyid(acl.grantee)::text end,
      case when acl.is_grantable then 'with grant option' else 'given' end
    from aclexplode(${acl}) acl
    where acl.grantee <> ${owner}`
}

/** Whether a trigger fires. */
export function enabledText(column: string): string {
  return `case ${column} when 'A' then 'enabled always' when 'O' then 'enabled' when 'D' then 'disabled' else 'enabled for replicas' end`
}
