-- Whoever requests or works: the queues with a cap that are to be looked at, with their caps; whoever asks meanwhile is told of
-- none, unless this one does not come back within a time. Walks the table, which is small. 1 the time in microseconds, 2 now.
update intendant_backlog set due_at = ?2 + ?1 where due_at <= ?2
returning queue, cap
