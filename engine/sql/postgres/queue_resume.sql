-- Queue: an operator resumes it. Primary key; locks the row. 1 name.
update intendant.queue set paused_at = null, paused_by = null, pause_reason = null
 where name = $1::text and paused_at is not null
returning name
