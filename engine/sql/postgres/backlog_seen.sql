-- Whoever has counted: for how many there is room in a queue, and in how long somebody is to count again, unless somebody else has begun
-- to count since. Primary key. 1 queue, 2 number of the count, 3 room, 4 microseconds.
update intendant.backlog set room = $3::bigint, due_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
 where queue = $1::text and count = $2::bigint
