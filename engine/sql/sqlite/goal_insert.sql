-- Tick, resume and rerun: these are taken back for something else than to be cancelled. Primary key; returns those of which
-- nobody had asked for anything. 1 actor; 2 intent, why, goal; 3 now.
insert into intendant_cancel (intent_id, actor, reason, at, goal)
select n.value ->> 0, ?1, n.value ->> 1, ?3, n.value ->> 2 from jsonb_each(?2) n where true
on conflict (intent_id) do nothing
returning intent_id
