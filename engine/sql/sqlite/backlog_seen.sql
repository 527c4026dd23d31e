-- Whoever requests or works: for how many there is room in a queue, unless its cap has changed, and in how long somebody is to look again.
-- Primary key. 1 queue, 2 cap, 3 room, 4 microseconds, 5 now.
update intendant_backlog set room = ?3, due_at = ?5 + ?4 where queue = ?1 and cap = ?2
