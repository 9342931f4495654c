import { administrators, grants, ownerName } from './owners.ts'

/** Functions of a log. Bodies as they were written; of parsed SQL as PostgreSQL writes it. */
export const functionFacts: string = `
with ${administrators},
functions as materialized (
  select p.*, n.nspname || '.' || p.proname || '(' || oidvectortypes(p.proargtypes) || ')' as object
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ($1::text, $1::text || '_guard', $1::text || '_state')
)
select p.object, f.label, f.value
from functions p
cross join lateral (
    select
      'declaration',
      concat_ws(' ',
        p.prokind, p.provolatile,
        (select l.lanname from pg_language l where l.oid = p.prolang),
        case when p.prosecdef then 'security definer' end,
        case when p.proisstrict then 'strict' end,
        'returns', case when p.proretset then 'setof' end, format_type(p.prorettype, null))
    union all
    select 'owner', ${ownerName('p.proowner')}
    union all
    select 'body', coalesce(regexp_replace(pg_get_function_sqlbody(p.oid), '\\s+', ' ', 'g'), p.prosrc)
    union all
    select 'setting ' || split_part(s.text, '=', 1), substr(s.text, strpos(s.text, '=') + 1)
    from unnest(p.proconfig) as s (text)
    union all
    ${grants(`coalesce(p.proacl, acldefault('f', p.proowner))`, 'p.proowner')}
) as f (label, value)`
