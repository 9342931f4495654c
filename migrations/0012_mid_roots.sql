-- The 16 nodes half-way up a full tile, each the root of 16 of its slots: with them a proof takes 1 KiB and 22 hashes
-- of a tile instead of 8 KiB and 255. Like the tile itself they are not believed, but checked up to a signed root. Tiles
-- that were stored before have none; their proofs are made of the whole tile.
set local role {{prefix}}ledger_owner_role;

alter table {{schema}}.tiles
  add column mid_roots bytea check (octet_length(mid_roots) = 512);

-- In the row itself: what is out of line costs another look-up.
alter table {{schema}}.tiles
  alter column mid_roots set storage plain;

reset role;
