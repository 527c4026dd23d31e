-- Tick and reap: when an intent started and by which plan; the first to say so is right, and who knows the
-- plan is more right than a reaper who assumes it.
-- 1 intent, start, plan, build of the session for which a reaper assumes it.
insert into intendant_started as s (intent_id, started_at, plan_hash, assumed_build)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3 from jsonb_each(?1) n where true
on conflict (intent_id) do update set plan_hash = excluded.plan_hash, assumed_build = excluded.assumed_build
 where excluded.plan_hash is not null
   and (s.plan_hash is null or (s.assumed_build is not null and excluded.assumed_build is null))
