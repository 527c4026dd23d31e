-- Whoever requests or works: the queues with a cap that are to be looked at, with their caps; whoever asks meanwhile is told of
-- none, unless this one does not come back within a time. Walks the table, which is small; one that somebody else has locked is
-- theirs. 1 the time in microseconds.
with due as materialized (
  select queue from intendant.backlog where due_at <= clock_timestamp() for update skip locked
)
update intendant.backlog b set due_at = clock_timestamp() + $1::bigint * interval '1 microsecond'
  from due where b.queue = due.queue
returning b.queue, b.cap
