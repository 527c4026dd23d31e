-- Whoever requests or works: for how many there is room in a queue, unless its cap has changed, and in how long somebody is to look again.
-- Primary key. 1 queue, 2 cap, 3 room, 4 microseconds.
update intendant.backlog set room = $3::bigint, due_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
 where queue = $1::text and cap = $2::bigint
