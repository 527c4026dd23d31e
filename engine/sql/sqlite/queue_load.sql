-- Tick and idle worker, only when people have said something new of queues: all that they have said. Walks the table, which is
-- small.
select name, paused_at is not null, slots, rate_steps is not null, partition_by, partition_limit is not null,
       exists (select 1 from intendant_backlog b where b.queue = name)
  from intendant_queue
