-- Cancel: asks these to stop; whoever holds them or claims them carries it out. One that is taken back
-- for something else ends as cancelled then. Primary key.
-- 1 actor; 2 intent, reason; 3 now.
insert into intendant_cancel as c (intent_id, actor, reason, at)
select n.value ->> 0, ?1, n.value ->> 1, ?3 from jsonb_each(?2) n where true
on conflict (intent_id) do update
   set actor = excluded.actor, reason = excluded.reason, at = excluded.at, goal = null
 where c.goal is not null
