-- Admit: what a rule has made of an intent on account of another one. Primary key. 1–5 intent, relation, other, resource,
-- whether the other one goes in any case.
insert into intendant.link (intent_id, relation, other_id, resource, at, anyway)
select n.intent_id, n.relation, n.other_id, n.resource, clock_timestamp(), n.anyway
  from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::boolean[])
       as n (intent_id, relation, other_id, resource, anyway)
on conflict (intent_id, relation, other_id) do nothing
