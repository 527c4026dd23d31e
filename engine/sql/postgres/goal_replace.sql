-- Rerun: these are taken back to run again from there, whatever they were taken back for before; unless they were to be
-- cancelled, then nothing comes back. Primary key. 1 actor; 2–4 intent, why, goal.
insert into intendant.cancel as c (intent_id, actor, reason, at, goal)
select n.intent_id, $1::text, n.reason, clock_timestamp(), n.goal::json
  from unnest($2::uuid[], $3::text[], $4::text[]) as n (intent_id, reason, goal)
on conflict (intent_id) do update
   set actor = excluded.actor, reason = excluded.reason, at = excluded.at, goal = excluded.goal
 where c.goal is not null
returning intent_id
