-- Cancel: asks these to stop; whoever holds them or claims them carries it out. One that is taken back
-- for something else ends as cancelled then. Primary key. 1 actor; 2–3 intent, reason.
insert into intendant.cancel as c (intent_id, actor, reason, at)
select n.intent_id, $1::text, n.reason, clock_timestamp() from unnest($2::uuid[], $3::text[]) as n (intent_id, reason)
on conflict (intent_id) do update
   set actor = excluded.actor, reason = excluded.reason, at = excluded.at, goal = null
 where c.goal is not null
