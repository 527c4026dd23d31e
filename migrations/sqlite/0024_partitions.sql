-- Queues whose tasks take turns: by what they are told apart (null: they are not), and how many of one partition workers may
-- have in hand at once.
alter table intendant_queue add column partition_by text
  check (partition_by in ('account', 'none') or partition_by like 'resource:%' or partition_by like 'input:/%');
alter table intendant_queue add column partition_limit integer check (partition_limit > 0);

-- In such a queue a claim files what has come by its partition, and takes it from there: crashes = -1. Everybody who puts
-- something into *ready* need not know of it, and other queues pay nothing.
alter table intendant_ready add column partition text check ((crashes = -1) = (partition is not null));
create index intendant_ready_partition on intendant_ready (queue, kind, partition, position, intent_id) where crashes = -1;

-- Of queues with a limit on each partition: how many of its tasks workers have in hand, and which.
create table intendant_partition (
  queue text not null,
  name text not null,
  lent integer not null check (lent >= 0),
  primary key (queue, name)
) strict, without rowid;

create table intendant_partition_task (
  task_id text primary key,
  queue text not null,
  partition text not null,
  session_id text not null references intendant_session
) strict, without rowid;
create index intendant_partition_task_of_session on intendant_partition_task (session_id);

drop view intendant_queues;
create view intendant_queues as
  select name, strftime('%Y-%m-%dT%H:%M:%fZ', paused_at / 1e6, 'unixepoch') as paused_at, paused_by, pause_reason, slots, lent, rate_steps, rate_period_ms, rate_burst,
         partition_by, partition_limit
    from intendant_queue;
