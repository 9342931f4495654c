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

-- What made a log stop, for its operators. One row for a code and the checkpoint at which the log stood, so that a log
-- which cannot go on, and looks again twice a second, does not fill the table.
create table {{schema}}_state.incidents (
  code text not null,
  -- The newest checkpoint then: its size and root.
  published_size bigint not null check (published_size >= 0),
  published_root bytea not null check (octet_length(published_root) = 32),
  -- Entries that were known to be durable, of the last time.
  integrated_size bigint not null,
  -- Of the last time.
  detail text not null,
  count bigint not null check (count >= 1),
  first_seen timestamptz not null default clock_timestamp(),
  last_seen timestamptz not null default clock_timestamp(),
  primary key (code, published_size, published_root)
);

grant select, insert, update
  on {{schema}}_state.incidents
  to {{prefix}}app_state_role;

grant select, insert, update, delete
  on {{schema}}_state.tokens, {{schema}}_state.positions
  to {{prefix}}app_state_role;

reset role;
