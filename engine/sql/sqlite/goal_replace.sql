-- Rerun: these are taken back to run again from there, whatever they were taken back for before; unless they were to be
-- cancelled, then nothing comes back. Primary key. 1 actor; 2 intent, why, goal; 3 now.
insert into intendant_cancel as c (intent_id, actor, reason, at, goal)
select n.value ->> 0, ?1, n.value ->> 1, ?3, n.value ->> 2 from jsonb_each(?2) n where true
on conflict (intent_id) do update
   set actor = excluded.actor, reason = excluded.reason, at = excluded.at, goal = excluded.goal
 where c.goal is not null
returning intent_id
