-- Queue: an operator pauses it. Primary key; locks the row. 1 name, 2 actor, 3 reason.
insert into intendant.queue as q (name, paused_at, paused_by, pause_reason)
values ($1::text, clock_timestamp(), $2::text, $3::text)
on conflict (name) do update
   set paused_at = excluded.paused_at, paused_by = excluded.paused_by, pause_reason = excluded.pause_reason
 where q.paused_at is null
returning name
