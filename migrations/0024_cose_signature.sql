-- Of the same head as note and STH: the signature that COSE receipts (RFC 9942) are made of, r and s of 32 bytes each.
-- Checkpoints from before have none.
set local role {{prefix}}ledger_owner_role;

alter table {{schema}}.checkpoints
  add column cose_signature bytea check (octet_length(cose_signature) = 64);

reset role;
