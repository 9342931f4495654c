-- What others say about the log, and what the log says about itself.
set local role {{prefix}}ledger_owner_role;

create table {{schema}}.cosignatures (
  checkpoint_number bigint,
  -- The witness's key name.
  witness text,
  -- Its signature line of the note, without the line feed.
  line text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (checkpoint_number, witness)
);

create table {{schema}}.anchors (
  anchor_id uuid primary key,
  checkpoint_number bigint not null,
  kind text not null,
  evidence bytea not null,
  created_at timestamptz not null default clock_timestamp()
);

create table {{schema}}.findings (
  finding_id uuid primary key,
  code text not null,
  sequence_number bigint,
  detail text not null,
  evidence jsonb not null,
  created_at timestamptz not null default clock_timestamp()
);

create table {{schema}}.verifier_progress (
  verifier text,
  -- Count of entries verified.
  position bigint check (position >= 0),
  created_at timestamptz not null default clock_timestamp(),
  primary key (verifier, position)
);

-- What could not become an entry, with its bytes as they came.
create table {{schema}}.quarantine (
  quarantine_id uuid primary key,
  received_at timestamptz not null default clock_timestamp(),
  writer text not null,
  source_position text,
  code text not null,
  detail text not null,
  -- JSON pointer (RFC 6901) to the offending member, where there is one.
  pointer text,
  raw bytea not null,
  raw_sha256 bytea not null check (octet_length(raw_sha256) = 32)
);

-- An archived object holds the half-open range [first_index, last_index) of leaf indexes.
create table {{schema}}.archive_manifests (
  manifest_id uuid primary key,
  kind text not null,
  first_index bigint not null check (first_index >= 0),
  last_index bigint not null check (last_index >= first_index),
  manifest jsonb not null,
  created_at timestamptz not null default clock_timestamp()
);

reset role;
