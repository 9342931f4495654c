set local role {{prefix}}ledger_owner_role;

-- The first ten columns are read by sequential verifiers written for this table: their names and types never change.
-- `id` is computed, since a serial would need rights on its sequence under COPY.
-- No index but the primary key: an index on (sequence_number, current_hash) cost 9 % of binary COPY on
-- PostgreSQL 15 and 14 % on 18 (200,000 rows, medians of three), and nothing reads by it.
create table {{schema}}.audit_logs (
  id bigint not null generated always as (sequence_number) stored,
  sequence_number bigint not null,
  timestamp timestamptz not null,
  actor_id varchar(255) not null,
  action varchar(100) not null,
  resource varchar(255) not null,
  payload jsonb not null,
  previous_hash varchar(64) not null,
  current_hash varchar(64) not null,
  client_ip varchar(45) not null,
  event_id uuid not null,
  occurred_at timestamptz,
  lamport bigint,
  writer text not null,
  source_position text,
  payload_hash bytea not null,
  leaf_hash bytea not null,
  primary key (sequence_number),
  constraint audit_logs_sequence_number_check check (sequence_number >= 1),
  constraint audit_logs_previous_hash_check check (length(previous_hash) = 64),
  constraint audit_logs_current_hash_check check (length(current_hash) = 64),
  constraint audit_logs_payload_hash_check check (octet_length(payload_hash) = 32),
  constraint audit_logs_leaf_hash_check check (octet_length(leaf_hash) = 32)
)
partition by range (sequence_number);

-- A partitioned table cannot keep event_id unique across partitions; this table does. Numbers above 2^53-1 could be read
-- by nobody: whoever may insert must not be able to write any.
create table {{schema}}.entry_ids (
  event_id uuid primary key,
  sequence_number bigint not null check (sequence_number between 1 and 9007199254740991)
);

reset role;
