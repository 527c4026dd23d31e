-- Tick: shapes of plans, once per hash. 1 hash, shape; 2 now.
insert into intendant_plan (hash, shape, created_at)
select n.value ->> 0, n.value ->> 1, ?2 from jsonb_each(?1) n where true
on conflict (hash) do nothing
