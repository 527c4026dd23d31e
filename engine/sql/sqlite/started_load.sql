-- Claim: when and by which plan these started.
select intent_id, started_at, plan_hash, assumed_build from intendant_started
 where intent_id in (select n.value from jsonb_each(?1) n)
