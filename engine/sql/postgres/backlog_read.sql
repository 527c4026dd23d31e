-- Whoever requests or works, at most twice a second: the queues with a cap, with for how many there is room, and whether somebody is
-- to count again. So is one whose time is further away than anybody says: then the clock was set back. Walks the table, which is
-- small. 1 the furthest, in microseconds.
select queue, cap, room,
       due_at <= clock_timestamp() or due_at > clock_timestamp() + $1::bigint * interval '1 microsecond'
  from intendant.backlog
