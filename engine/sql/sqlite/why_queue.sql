-- Why: what people have said of a queue: who has paused it, why and when; how many of its steps may run at once, and do. Primary
-- key. 1 name.
select paused_by, pause_reason, paused_at, slots, lent from intendant_queue where name = ?1
