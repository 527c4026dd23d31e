-- Schedule: an operator resumes one that nobody has changed since it was read. Primary key.
-- 1 name, 2 version, 3 from when on its ticks count, 4 the next one (microseconds since 1970).
update intendant_schedule
   set paused_at = null, paused_by = null, pause_reason = null, last_at = ?3, next_at = ?4, version = version + 1
 where name = ?1 and version = ?2 and paused_at is not null
returning name
