-- Tick and reap: when an intent started and by which plan; the first to say so is right, and who knows the
-- plan is more right than a reaper who assumes it.
-- 1–4 intent, start, plan, build of the session for which a reaper assumes it.
insert into intendant.started as s (intent_id, started_at, plan_hash, assumed_build)
select n.intent_id, to_timestamp(n.started_us / 1000000.0), n.plan_hash, n.build
  from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) as n (intent_id, started_us, plan_hash, build)
on conflict (intent_id) do update set plan_hash = excluded.plan_hash, assumed_build = excluded.assumed_build
 where excluded.plan_hash is not null
   and (s.plan_hash is null or (s.assumed_build is not null and excluded.assumed_build is null))
