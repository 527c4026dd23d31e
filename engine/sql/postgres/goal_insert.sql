-- Tick, resume and rerun: these are taken back for something else than to be cancelled. Primary key; returns those of which
-- nobody had asked for anything. 1 actor; 2–4 intent, why, goal.
insert into intendant.cancel (intent_id, actor, reason, at, goal)
select n.intent_id, $1::text, n.reason, clock_timestamp(), n.goal::json
  from unnest($2::uuid[], $3::text[], $4::text[]) as n (intent_id, reason, goal)
on conflict (intent_id) do nothing
returning intent_id
