-- Where the watch rules stand, and what they remember: how many entries groups had in a window, and hashes of what was
-- seen. No evidence: without it rules begin anew with the newest entry.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}_state.watch_rules (
  id smallint primary key default 1 check (id = 1),
  -- Matches were told up to this entry.
  told bigint not null check (told >= 0),
  -- What is remembered is of the entries up to this one; those between are read again after a start, and told of no more.
  position bigint not null check (position between 0 and told),
  state text not null,
  updated_at timestamptz not null default clock_timestamp()
);

grant select, insert, update
  on {{schema}}_state.watch_rules
  to {{prefix}}app_state_role;

reset role;
