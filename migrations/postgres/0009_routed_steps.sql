-- Steps that run in another queue than their intent. Such a step is a task of its own: its token stands where every task's
-- stands (*ready*, *parked*, a lease), under an id of its own, and its row here says what it is. The row is there from the
-- commit that sends the step off to the one in which it ends; that it is deleted once is what lets it count once.
create table intendant.routed (
  task_id uuid primary key,
  intent_id uuid not null,
  step text not null,
  generation integer not null,
  queue text not null check (length(queue) between 1 and 200),
  -- Of the intent, so that a move of the token needs no other row.
  kind text not null,
  position bigint not null,
  input json not null,
  sent_at timestamptz not null,
  -- No driver sends it a second time.
  unique (intent_id, step, generation)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

alter table intendant.ready add column routed boolean not null default false;

-- `queue`: where a step was sent to; none of one that runs with its intent. `reason`: why it failed, where that is not
-- that its attempts did: another worker than the one that ran it makes the outcome.
alter table intendant.step add column queue text;
alter table intendant.step add column reason text;

create or replace view intendant.steps as
  select intent_id, name, generation, state, attempt, output, error, progress, due_at, started_at, finished_at, worker,
         queue
    from intendant.step;

-- A session claims a kind's intents in one queue, and its routed steps in others.
alter table intendant.session_kind drop constraint session_kind_pkey, add primary key (session_id, kind, queue);
