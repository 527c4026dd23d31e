-- Whoever requests or works, at most twice a second: the queues with a cap, with for how many there is room, and whether somebody is
-- to count again. So is one whose time is further away than anybody says: then the clock was set back. Walks the table, which is
-- small. 1 the furthest, in microseconds, 2 now.
select queue, cap, room, due_at <= ?2 or due_at > ?2 + ?1 from intendant_backlog
