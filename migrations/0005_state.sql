-- What may change, apart from the evidence: losing it loses no entry.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}_state.tokens (
  -- HMAC-SHA-256 of the token under a key that is never in the database.
  token_hash bytea primary key check (octet_length(token_hash) = 32),
  name text not null,
  role text not null check (role in ('writer', 'auditor', 'admin')),
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);

create table {{schema}}_state.positions (
  follower text primary key,
  position bigint not null check (position >= 0),
  updated_at timestamptz not null default clock_timestamp()
);

grant select, insert, update, delete
  on {{schema}}_state.tokens, {{schema}}_state.positions
  to {{prefix}}app_state_role;

reset role;
