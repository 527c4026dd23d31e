-- Cancel: a row asks an unfinished intent to stop; whoever holds it or claims it carries that out, and takes back what its
-- steps did. It goes with the outcome; who asked and why is kept with the events. So the table has what is being stopped, and nothing else.
create table intendant.cancel (
  intent_id uuid primary key,
  actor text not null,
  reason text,
  at timestamptz not null,
  -- What it comes to when all is taken back: the failure with which it ends, as its kind wants it, or the steps that are
  -- run again then. Nothing: it ends as cancelled.
  goal json
);

-- What an input was before a person amended it.
create table intendant.revision (
  intent_id uuid not null,
  seq integer not null,
  at timestamptz not null,
  actor text not null,
  reason text,
  -- The input that was replaced.
  input json not null,
  primary key (intent_id, seq)
);

create view intendant.revisions as
  select intent_id, seq, at, actor, reason, input from intendant.revision;

-- How often the session was told to stop something that it holds. A tick's first statement returns it, so that a tick
-- knows, at no cost, that there is something to look for.
alter table intendant.session add column cancels bigint not null default 0;

-- Set with the start of a step after which an intent is not cancelled any more; null of all others, which costs nothing.
alter table intendant.step add column point_of_no_return boolean;

alter table intendant.outcome drop constraint outcome_reason_check;
alter table intendant.outcome add constraint outcome_reason_check
 check (reason in ('step failed', 'plan refused', 'undecodable', 'quarantined', 'circular wait', 'data refused',
                   'interrupted', 'undo failed')) not valid;
alter table intendant.attempt drop constraint attempt_failure_check;
alter table intendant.attempt add constraint attempt_failure_check
 check (failure in ('error', 'gave up', 'time-out', 'panic', 'output refused', 'cancelled')) not valid;

-- What is asked to stop is `undoing`, wherever it is.
create or replace view intendant.intents as
  select i.id, i.kind, i.queue, i.account, o.state, i.requested_by, i.requested_at, o.started_at, o.finished_at,
         i.input, o.output, o.reason, o.error, o.step as failed_step, i.priority, i.run_at, i.parent_id, i.parent_step,
         i.root_id, i.correlation_id
    from intendant.outcome o join intendant.intent i on i.id = o.intent_id
  union all
  select i.id, i.kind, i.queue, i.account, 'ready', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.intent i
    join intendant.ready r on r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{0,1,2,3,4}'::smallint[])
                          and r.position = i.position and r.intent_id = i.id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'waiting', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.parked p join intendant.intent i on i.id = p.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'blocked', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.blocked b join intendant.intent i on i.id = b.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account,
         case when c.intent_id is null then 'running' else 'undoing' end, i.requested_by, i.requested_at,
         coalesce(s.started_at, greatest(l.claimed_at, i.requested_at)), null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.lease l
    cross join lateral unnest(l.tasks) as t (id)
    join intendant.intent i on i.id = t.id
    left join intendant.started s on s.intent_id = i.id
    left join intendant.cancel c on c.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = t.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'undoing', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.cancel c join intendant.intent i on i.id = c.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = i.id)
     and not exists (select from intendant.lease l where i.id = any (l.tasks));
