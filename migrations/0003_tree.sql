set local role {{prefix}}ledger_owner_role;

-- One row a commit, inserted first in its transaction. `unique (previous_size)` lets one writer build on a head, the
-- foreign key lets it build only on a head that is there with that root: together the compare-and-swap of the log.
create table {{schema}}.tree_heads (
  tree_size bigint primary key check (tree_size <= 9007199254740991),
  root_hash bytea not null check (octet_length(root_hash) = 32),
  chain_hash bytea not null check (octet_length(chain_hash) = 32),
  -- The compact range [0, tree_size): the roots of its perfect subtrees, largest first.
  frontier bytea not null check (octet_length(frontier) % 32 = 0 and octet_length(frontier) <= 53 * 32),
  -- Microseconds since 1970 of the newest entry, 0 where there is none.
  newest_timestamp bigint not null check (newest_timestamp between 0 and 9007199254740991),
  previous_size bigint unique,
  previous_root bytea,
  seal bytea not null check (octet_length(seal) = 32),
  created_at timestamptz not null default clock_timestamp(),
  unique (tree_size, root_hash),
  foreign key (previous_size, previous_root) references {{schema}}.tree_heads (tree_size, root_hash) match full,
  constraint tree_heads_growth_check check (tree_size > previous_size),
  constraint tree_heads_first_check check (
    tree_size >= 0
    and (tree_size = 0) = (previous_size is null)
  )
);

-- Full tiles only: 256 node hashes. Hashes do not compress.
create table {{schema}}.tiles (
  level smallint check (level between 0 and 7),
  tile_index bigint check (tile_index between 0 and 35184372088831),
  hashes bytea not null check (octet_length(hashes) = 8192),
  primary key (level, tile_index)
);

alter table {{schema}}.tiles
  alter column hashes set storage external;

-- number counts from 0 without gaps; the trigger below keeps sizes and times from going back.
create table {{schema}}.checkpoints (
  number bigint primary key check (number >= 0),
  tree_size bigint not null,
  root_hash bytea not null,
  timestamp_ms bigint not null check (timestamp_ms >= 0),
  note text not null,
  sth_signature bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  foreign key (tree_size, root_hash) references {{schema}}.tree_heads (tree_size, root_hash)
);

-- Two signers that insert the same number meet at the primary key; this decides the rest. Thinning removes old
-- checkpoints but never the newest, so a number below the newest is never free again.
create function {{schema}}.check_checkpoint() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  previous {{schema}}.checkpoints;
begin
  if exists (select from {{schema}}.checkpoints where number > new.number) then
    raise exception 'checkpoint %: a later one exists', new.number
      using errcode = 'DL003';
  end if;
  if new.number = 0 then
    return new;
  end if;
  select * into previous from {{schema}}.checkpoints where number = new.number - 1;
  if not found then
    raise exception 'checkpoint %: its predecessor does not exist', new.number
      using errcode = 'DL003';
  end if;
  if new.tree_size < previous.tree_size then
    raise exception 'checkpoint %: tree size % is below % of its predecessor', new.number, new.tree_size, previous.tree_size
      using errcode = 'DL003';
  end if;
  if new.timestamp_ms <= previous.timestamp_ms then
    raise exception 'checkpoint %: timestamp % ms is not after % ms of its predecessor',
      new.number, new.timestamp_ms, previous.timestamp_ms
      using errcode = 'DL003';
  end if;
  return new;
end
$$;

create trigger check_checkpoint
  before insert on {{schema}}.checkpoints
  for each row
  execute function {{schema}}.check_checkpoint();

alter table {{schema}}.checkpoints
  enable always trigger check_checkpoint;

reset role;
