-- Schedule: an operator pauses it. Primary key; locks the row, as `schedule_advance` does. 1 name, 2 actor, 3 reason.
update intendant.schedule
   set paused_at = clock_timestamp(), paused_by = $2::text, pause_reason = $3::text, version = version + 1
 where name = $1::text and paused_at is null
returning name
