-- Claim: when and by which plan these started.
select intent_id, started_at, plan_hash, assumed_build from intendant.started where intent_id = any ($1::uuid[])
