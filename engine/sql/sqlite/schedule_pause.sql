-- Schedule: an operator pauses it. Primary key. 1 name, 2 actor, 3 reason, 4 now.
update intendant_schedule set paused_at = ?4, paused_by = ?2, pause_reason = ?3, version = version + 1
 where name = ?1 and paused_at is null
returning name
