-- Queues whose tasks take turns: by what they are told apart (null: they are not), and how many of one partition workers may
-- have in hand at once.
alter table intendant.queue add column partition_by text
  check (partition_by in ('account', 'none') or partition_by like 'resource:%' or partition_by like 'input:/%');
alter table intendant.queue add column partition_limit bigint check (partition_limit > 0);

-- In such a queue a claim files what has come by its partition, and takes it from there: crashes = -1. Everybody who puts
-- something into *ready* need not know of it, and other queues pay nothing.
alter table intendant.ready add column partition text;
alter table intendant.ready add constraint ready_filed check ((crashes = -1) = (partition is not null));
create index ready_partition on intendant.ready (queue, kind, partition, position, intent_id) where crashes = -1;

-- Of queues with a limit on each partition: how many of its tasks workers have in hand, and which. Written under the lock on
-- the queue's row.
create table intendant.partition (
  queue text not null,
  name text not null,
  lent bigint not null check (lent >= 0),
  primary key (queue, name)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table intendant.partition_task (
  task_id uuid primary key,
  queue text not null,
  partition text not null,
  session_id uuid not null references intendant.session
);
create index partition_task_of_session on intendant.partition_task (session_id);

create or replace view intendant.queues as
  select name, paused_at, paused_by, pause_reason, slots, lent, rate_steps, rate_period_ms, rate_burst, partition_by, partition_limit from intendant.queue;

-- What is filed is ready as well.
create or replace view intendant.intents as
  select i.id, i.kind, i.queue, i.account, o.state, i.requested_by, i.requested_at, o.started_at, o.finished_at,
         i.input, o.output, o.reason, o.error, o.step as failed_step, i.priority, i.run_at, i.parent_id, i.parent_step,
         i.root_id, i.correlation_id, o.payload_removed_at
    from intendant.outcome o join intendant.intent i on i.id = o.intent_id
  union all
  select i.id, i.kind, i.queue, i.account, 'ready', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.intent i
    join intendant.ready r on r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{-1,0,1,2,3,4}'::smallint[])
                          and r.position = i.position and r.intent_id = i.id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'waiting', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.parked p join intendant.intent i on i.id = p.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'blocked', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.blocked b join intendant.intent i on i.id = b.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account,
         case when c.intent_id is null then 'running' else 'undoing' end, i.requested_by, i.requested_at,
         coalesce(s.started_at, greatest(l.claimed_at, i.requested_at)), null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.lease l
    cross join lateral unnest(l.tasks) as t (id)
    join intendant.intent i on i.id = t.id
    left join intendant.started s on s.intent_id = i.id
    left join intendant.cancel c on c.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = t.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'undoing', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.cancel c join intendant.intent i on i.id = c.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = i.id)
     and not exists (select from intendant.lease l where i.id = any (l.tasks));
