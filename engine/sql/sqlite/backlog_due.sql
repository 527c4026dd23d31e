-- Whoever requests or works: the queues with a cap whose tasks are to be counted, with their caps and the number of the count; whoever
-- asks meanwhile is told of none, unless this one does not come back within a time. Walks the table, which is small. 1 the time in
-- microseconds, which is also the furthest, 2 now.
update intendant_backlog set due_at = ?2 + ?1, count = count + 1 where due_at <= ?2 or due_at > ?2 + ?1
returning queue, cap, count
