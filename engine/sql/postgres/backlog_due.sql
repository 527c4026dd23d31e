-- Whoever requests or works: the queues with a cap whose tasks are to be counted, with their caps and the number of the count; whoever
-- asks meanwhile is told of none, unless this one does not come back within a time. Walks the table, which is small; one that
-- somebody else has locked is theirs. 1 the time in microseconds, which is also the furthest.
with due as materialized (
  select queue from intendant.backlog
   where due_at <= clock_timestamp() or due_at > clock_timestamp() + $1::bigint * interval '1 microsecond'
     for update skip locked
)
update intendant.backlog b set due_at = clock_timestamp() + $1::bigint * interval '1 microsecond', count = b.count + 1
  from due where b.queue = due.queue
returning b.queue, b.cap, b.count
