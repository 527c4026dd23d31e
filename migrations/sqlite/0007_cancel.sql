-- Cancel: a row asks an unfinished intent to stop; whoever holds it or claims it carries that out, and takes back what its
-- steps did. It goes with the outcome; who asked and why is kept with the events. So the table has what is being stopped, and nothing else.
create table intendant_cancel (
  intent_id text primary key,
  actor text not null,
  reason text,
  at integer not null,
  -- What it comes to when all is taken back: the failure with which it ends, as its kind wants it, or the steps that are
  -- run again then. Nothing: it ends as cancelled.
  goal text
) strict, without rowid;

-- What an input was before a person amended it.
create table intendant_revision (
  intent_id text not null,
  seq integer not null,
  at integer not null,
  actor text not null,
  reason text,
  -- The input that was replaced.
  input text not null,
  primary key (intent_id, seq)
) strict, without rowid;

create view intendant_revisions as
  select intent_id, seq, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, actor, reason, input from intendant_revision;

-- How often the session was told to stop something that it holds. A tick's first statement returns it, so that a tick
-- knows, at no cost, that there is something to look for.
alter table intendant_session add column cancels integer not null default 0;

-- Set with the start of a step after which an intent is not cancelled any more; null of all others.
alter table intendant_step add column point_of_no_return integer;

-- Two checks allow more words. SQLite keeps a table's checks as text, and has no other way to change them but to write
-- the whole table again (https://www.sqlite.org/lang_altertable.html, at the end).
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, '''data refused''', '''data refused'', ''interrupted'', ''undo failed''')
 where type = 'table' and name = 'intendant_outcome';
update sqlite_schema set sql = replace(sql, '''output refused''', '''output refused'', ''cancelled''')
 where type = 'table' and name = 'intendant_attempt';
pragma writable_schema = reset;

-- What is asked to stop is `undoing`, wherever it is.
drop view intendant_place;
create view intendant_place as
  select intent_id, 'ready' as state, null as claimed_at from intendant_ready
   where intent_id not in (select c.intent_id from intendant_cancel c)
  union all
  select intent_id, 'waiting', null from intendant_parked
   where intent_id not in (select c.intent_id from intendant_cancel c)
  union all
  select intent_id, 'blocked', null from intendant_blocked
   where intent_id not in (select c.intent_id from intendant_cancel c)
  union all
  select t.value, case when c.intent_id is null then 'running' else 'undoing' end, l.claimed_at
    from intendant_lease l, json_each(l.tasks) t left join intendant_cancel c on c.intent_id = t.value
   where not exists (select 1 from intendant_outcome o where o.intent_id = t.value)
  union all
  select c.intent_id, 'undoing', null from intendant_cancel c
   where not exists (select 1 from intendant_outcome o where o.intent_id = c.intent_id)
     and c.intent_id not in (select t.value from intendant_lease l, json_each(l.tasks) t);
