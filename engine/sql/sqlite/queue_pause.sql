-- Queue: an operator pauses it. Primary key. 1 name, 2 actor, 3 reason, 4 now.
insert into intendant_queue as q (name, paused_at, paused_by, pause_reason) values (?1, ?4, ?2, ?3)
on conflict (name) do update
   set paused_at = excluded.paused_at, paused_by = excluded.paused_by, pause_reason = excluded.pause_reason
 where q.paused_at is null
returning name
