-- Tick: slots go from queues to a session, or back. Primary keys. 1 session; 2 queue, how many more, how many the session has
-- then.
update intendant_queue as q set lent = q.lent + (m.value ->> 1) from jsonb_each(?2) m where q.name = m.value ->> 0 and ?1 = ?1;
insert into intendant_slot (session_id, queue, held) select ?1, m.value ->> 0, m.value ->> 2 from jsonb_each(?2) m where true
on conflict (session_id, queue) do update set held = excluded.held
