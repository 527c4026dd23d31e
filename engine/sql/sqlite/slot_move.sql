-- Tick: slots go from queues to a session, or back; and since when it waits for more: as before, or as of now. Primary keys.
-- Who begins to wait is behind those who do, also if the clock was set back since.
-- 1 session; 2 queue, how many more, how many the session has then, whether it waits, whether as of now, since when the last of the
-- others waits; 3 now.
update intendant_queue as q set lent = q.lent + (m.value ->> 1) from jsonb_each(?2) m
 where q.name = m.value ->> 0 and m.value ->> 1 <> 0 and ?1 = ?1 and ?3 = ?3;
update intendant_slot set hungry_at = null
 where session_id = ?1 and queue in (select m.value ->> 0 from jsonb_each(?2) m where m.value ->> 4 or not m.value ->> 3) and ?3 = ?3;
insert into intendant_slot as s (session_id, queue, held, hungry_at)
select ?1, m.value ->> 0, m.value ->> 2, iif(m.value ->> 3, max(?3, ifnull(m.value ->> 5 + 1, ?3)), null) from jsonb_each(?2) m where true
on conflict (session_id, queue) do update
   set held = excluded.held, hungry_at = coalesce(s.hungry_at, excluded.hungry_at)
