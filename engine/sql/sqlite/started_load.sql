-- Claim: when and by which plan these started.
select intent_id, started_at, plan_hash, assumed_build from intendant_started
 where intent_id in (select n.value ->> 0 from json_each(?1) n)
