-- Tick: these have failed, and are taken back as their kinds want it. Primary key. 1 intent, why, failure; 2 now.
insert into intendant_cancel (intent_id, actor, reason, at, failure)
select n.value ->> 0, 'intendant', n.value ->> 1, ?2, n.value ->> 2 from jsonb_each(?1) n where true
on conflict (intent_id) do nothing
returning intent_id
