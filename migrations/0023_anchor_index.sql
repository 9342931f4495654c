-- Where anchoring goes on after a start, what anchors a checkpoint has, and the first checkpoint that covers an entry.
set local role {{prefix}}ledger_owner_role;

create index anchors_kind_checkpoint on {{schema}}.anchors (kind, checkpoint_number);

create index anchors_checkpoint on {{schema}}.anchors (checkpoint_number);

create index checkpoints_tree_size on {{schema}}.checkpoints (tree_size, number);

reset role;
