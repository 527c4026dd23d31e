-- Steps that run in another queue than their intent. Such a step is a task of its own: its token stands where every task's
-- stands (*ready*, *parked*, a lease), under an id of its own, and its row here says what it is. The row is there from the
-- commit that sends the step off to the one in which it ends; that it is deleted once is what lets it count once.
create table intendant_routed (
  task_id text primary key,
  intent_id text not null,
  step text not null,
  generation integer not null,
  queue text not null check (length(queue) between 1 and 200),
  -- Of the intent, so that a move of the token needs no other row.
  kind text not null,
  position integer not null,
  input text not null,
  sent_at integer not null,
  -- No driver sends it a second time.
  unique (intent_id, step, generation)
) strict, without rowid;

alter table intendant_ready add column routed integer not null default 0;

-- `queue`: where a step was sent to; none of one that runs with its intent. `reason`: why it failed, where that is not
-- that its attempts did: another worker than the one that ran it makes the outcome.
alter table intendant_step add column queue text;
alter table intendant_step add column reason text;

drop view intendant_steps;
create view intendant_steps as
  select intent_id,
         name, generation, state, attempt, output, error, progress,
         strftime('%Y-%m-%dT%H:%M:%fZ', due_at / 1e6, 'unixepoch') as due_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e6, 'unixepoch') as started_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1e6, 'unixepoch') as finished_at,
         worker, queue
    from intendant_step;

-- A session claims a kind's intents in one queue, and its routed steps in others.
create table intendant_session_lane (
  session_id text not null references intendant_session on delete cascade,
  kind text not null,
  queue text not null,
  plan_hash text,
  primary key (session_id, kind, queue)
) strict, without rowid;
insert into intendant_session_lane (session_id, kind, queue, plan_hash)
select session_id, kind, queue, plan_hash from intendant_session_kind;
drop table intendant_session_kind;
alter table intendant_session_lane rename to intendant_session_kind;
