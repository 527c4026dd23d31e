-- Tick: these steps are run again, as their next generation; what they have come to before stays. Primary key.
-- 1 intent, name, generation so far.
insert into intendant_step (intent_id, name, generation, state, attempt)
select n.value ->> 0, n.value ->> 1, (n.value ->> 2) + 1, 'pending', 0 from jsonb_each(?1) n where true
on conflict (intent_id, name, generation) do nothing
