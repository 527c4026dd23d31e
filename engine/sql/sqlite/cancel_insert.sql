-- Cancel: asks these to stop; whoever holds them or claims them carries it out. Primary key.
-- 1 actor; 2 intent, reason; 3 now.
insert into intendant_cancel (intent_id, actor, reason, at)
select n.value ->> 0, ?1, n.value ->> 1, ?3 from jsonb_each(?2) n where true
on conflict (intent_id) do nothing
