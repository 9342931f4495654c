-- What administrators see and say of tokens. The secret's hash stays the key by which a token is found.
set local role {{prefix}}ledger_owner_role;

-- Until now only a first start made tokens, and one that was cut short made them again: the secrets of the older ones
-- were never written down.
delete from {{schema}}_state.tokens t
  where exists (
    select
    from {{schema}}_state.tokens newer
    where newer.name = t.name
      and (newer.created_at, newer.token_hash) > (t.created_at, t.token_hash)
  );

alter table {{schema}}_state.tokens
  -- UUIDv7: 48 bits of milliseconds before a random UUID's own bits, version 7 for 4. Pages are in its order.
  add column id uuid not null unique default encode(
    set_bit(set_bit(overlay(
      uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
      from 1), 52, 1), 53, 1), 'hex')::uuid,
  -- What of its role a token may do; null: all of it.
  add column scopes text[] check (cardinality(scopes) between 1 and 16),
  -- Who made it: token:NAME; null: the log's first start.
  add column created_by text check (char_length(created_by) between 1 and 255),
  -- Of each server, per second; 0: no limit; null: what the server's settings say.
  add column rate_requests bigint check (rate_requests between 0 and 1000000),
  add column rate_entries bigint check (rate_entries between 0 and 10000000),
  -- Entries have it as writer, token:NAME.
  add constraint tokens_name_check check (name collate "C" ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$');

-- One live token a name. And a writer's name is never free again: entries say who wrote them by it, and of two holders
-- of one name nobody could tell afterwards which one wrote what.
create unique index tokens_name_key
  on {{schema}}_state.tokens (lower(name collate "C"))
  where role = 'writer' or revoked_at is null;

reset role;
