-- Why: who has paused a queue, why, and when. Primary key. 1 name.
select paused_by, pause_reason, paused_at from intendant.queue where name = $1::text and paused_at is not null
