-- Tick: these steps have been taken back; what they had come to is kept. One of which nothing was recorded when its worker
-- died has no row before. Primary key. 1 worker; 2 intent, name, generation; 3 now.
insert into intendant_step as s (intent_id, name, generation, state, attempt, finished_at, worker)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, 'undone', 1, ?3, ?1 from jsonb_each(?2) n where true
on conflict (intent_id, name, generation) do update set state = 'undone', due_at = null
