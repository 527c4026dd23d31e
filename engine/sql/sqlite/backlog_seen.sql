-- Whoever has counted: for how many there is room in a queue, and in how long somebody is to count again, unless somebody else has begun
-- to count since. Primary key. 1 queue, 2 number of the count, 3 room, 4 microseconds, 5 now.
update intendant_backlog set room = ?3, due_at = ?5 + ?4 where queue = ?1 and count = ?2
