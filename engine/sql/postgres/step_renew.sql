-- Tick: these steps are run again, as their next generation; what they have come to before stays. Primary key.
-- 1–3 intent, name, generation so far.
insert into intendant.step (intent_id, name, generation, state, attempt)
select n.intent_id, n.name, n.generation + 1, 'pending', 0
  from unnest($1::uuid[], $2::text[], $3::bigint[]) as n (intent_id, name, generation)
on conflict (intent_id, name, generation) do nothing
