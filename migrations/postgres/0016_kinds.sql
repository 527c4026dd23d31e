-- Kinds say what they are, for people and for programs that have only their name: what they do, which JSON their input is,
-- by when their intents are to be done.
alter table intendant.kind add column description text;
-- A JSON schema of the input; null where the code says nothing of it.
alter table intendant.kind add column input_schema json;
-- Counted from the request, or from when an intent may start.
alter table intendant.kind add column deadline_us bigint check (deadline_us >= 0);

create or replace view intendant.kinds as
  select kind, queue, release_on_failure, conflicts, description, input_schema from intendant.kind;
