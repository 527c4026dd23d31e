-- Tick: these steps have been taken back; what they had come to is kept. One of which nothing was recorded when its worker
-- died has no row before. Primary key. 1 worker; 2–4 intent, name, generation.
insert into intendant.step as s (intent_id, name, generation, state, attempt, finished_at, worker)
select n.intent_id, n.name, n.generation, 'undone', 1, now(), $1::text
  from unnest($2::uuid[], $3::text[], $4::bigint[]) as n (intent_id, name, generation)
on conflict (intent_id, name, generation) do update set state = 'undone', due_at = null
