-- Claim: when and by which plan these started, and who has asked them to stop, or for what they
-- are taken back; and how long ago they started, or were put back in line. Primary keys.
select s.intent_id, s.started_at, s.plan_hash, s.assumed_build,
       (select c.actor from intendant.cancel c where c.intent_id = s.intent_id),
       (select c.reason from intendant.cancel c where c.intent_id = s.intent_id),
       (select c.goal from intendant.cancel c where c.intent_id = s.intent_id),
       (extract(epoch from clock_timestamp() - coalesce(s.again_at, s.started_at)) * 1000000)::bigint
  from intendant.started s where s.intent_id = any ($1::uuid[])
union all
select c.intent_id, null, null, null, c.actor, c.reason, c.goal, null
  from intendant.cancel c
 where c.intent_id = any ($1::uuid[]) and not exists (select from intendant.started s where s.intent_id = c.intent_id)
