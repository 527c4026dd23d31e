-- Admit: what a rule has made of an intent on account of another one. Primary key. 1 intent, relation, other, resource,
-- whether the other one goes in any case; 2 now.
insert into intendant_link (intent_id, relation, other_id, resource, at, anyway)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, ?2, n.value ->> 4 from jsonb_each(?1) n where true
on conflict (intent_id, relation, other_id) do nothing
