-- Incidents: what people have to look at, from a verifier's finding until somebody closes it, and the alarms that tell
-- the outside world of it. `incidents` of 0005_state stays what it is, the log's note of why it stopped: a row a code
-- and checkpoint, without a life of its own. What stopped a log opens an incident here too where it is a violation. No
-- evidence: that an incident was opened and closed are acts, which become entries of the log.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}_state.opened_incidents (
  -- UUIDv7, made by whoever found it: alarms have it before the row is there.
  id uuid primary key,
  violation_type text not null check (violation_type collate "C" ~ '^[A-Z][A-Z0-9_]{0,63}$'),
  -- Type and place: what is found again counts and alarms nobody.
  key text not null check (char_length(key) between 1 and 255),
  sequence_number bigint check (sequence_number >= 0),
  -- Of the first time, as the evidence: what alarms said of it stays.
  detail text not null check (octet_length(detail) <= 16384),
  evidence json not null check (json_typeof(evidence) = 'object' and octet_length(evidence::text) <= 65536),
  count bigint not null default 1 check (count >= 1),
  first_seen timestamptz not null,
  last_seen timestamptz not null,
  opened_at timestamptz not null default clock_timestamp(),
  opened_by text not null check (char_length(opened_by) between 1 and 255),
  -- Whether an act tells of the opening: an outbox that is full silences no alarm.
  is_told boolean not null,
  closed_at timestamptz,
  closed_by text check (char_length(closed_by) between 1 and 255),
  close_reason text check (char_length(close_reason) between 1 and 1000),
  check ((closed_at is null) = (closed_by is null) and (closed_at is null) = (close_reason is null))
);

create unique index opened_incidents_key
  on {{schema}}_state.opened_incidents (key)
  where closed_at is null;

create index opened_incidents_type
  on {{schema}}_state.opened_incidents (violation_type)
  where closed_at is null;

-- What hooks have to be told: one row an incident, news and hook. It stays when it is delivered.
create table {{schema}}_state.alarms (
  id uuid primary key default gen_random_uuid(),
  incident uuid not null references {{schema}}_state.opened_incidents (id),
  news text not null check (news in ('opened', 'closed')),
  hook text not null check (hook collate "C" ~ '^[a-z][a-z0-9-]{0,31}$'),
  created_at timestamptz not null default clock_timestamp(),
  -- A claim counts when it begins, so that one that ends its process does not go on for ever.
  attempts integer not null default 0 check (attempts >= 0),
  -- Not before; while somebody delivers it, when others may think that they died of it.
  next_at timestamptz not null default clock_timestamp(),
  last_error text check (char_length(last_error) <= 1000),
  delivered_at timestamptz,
  -- Given up: a dead letter, until somebody asks for it to be tried again.
  dead_at timestamptz,
  check (delivered_at is null or dead_at is null),
  unique (incident, news, hook)
);

create index alarms_pending
  on {{schema}}_state.alarms (hook, next_at)
  where delivered_at is null and dead_at is null;

create index alarms_dead
  on {{schema}}_state.alarms (dead_at)
  where dead_at is not null;

grant select, insert, update
  on {{schema}}_state.opened_incidents, {{schema}}_state.alarms
  to {{prefix}}app_state_role;

reset role;
