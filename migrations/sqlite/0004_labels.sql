-- Labels: what a caller writes beside an intent to find it again (`team` = `billing`). In a table of their own, so that an
-- intent without any pays nothing for them.
create table intendant_label (
  intent_id text not null,
  name text not null check (length(name) between 1 and 200),
  value text not null check (length(value) between 1 and 200),
  primary key (intent_id, name)
) strict, without rowid;
create index intendant_label_history on intendant_label (name, value, intent_id);

create view intendant_labels as
  select intent_id, name, value from intendant_label;

-- What of one account failed or was cancelled. Partial, so that success pays nothing for it.
create index intendant_outcome_unsuccessful_of_account on intendant_outcome (account, state, intent_id)
 where state <> 'succeeded';
