-- Schedule: its ticks up to one are decided, by whoever comes first. Primary key.
-- 1 name, 2 version, 3 the last tick, 4 the next one (microseconds since 1970).
update intendant_schedule set last_at = ?3, next_at = ?4, version = version + 1
 where name = ?1 and version = ?2 and paused_at is null
returning name
