-- Where anchoring goes on after a start, and what anchors a checkpoint has.
set local role {{prefix}}ledger_owner_role;

create index anchors_kind_checkpoint on {{schema}}.anchors (kind, checkpoint_number);

create index anchors_checkpoint on {{schema}}.anchors (checkpoint_number);

reset role;
