-- Claim: when and by which plan these started, and who has asked them to stop, or for what they
-- are taken back; and how long ago they started, or were put back in line. Primary keys.
-- 1 intents, 2 now.
select s.intent_id, s.started_at, s.plan_hash, s.assumed_build,
       (select c.actor from intendant_cancel c where c.intent_id = s.intent_id) as actor,
       (select c.reason from intendant_cancel c where c.intent_id = s.intent_id) as reason,
       (select c.goal from intendant_cancel c where c.intent_id = s.intent_id) as goal,
       ?2 - coalesce(s.again_at, s.started_at)
  from intendant_started s where s.intent_id in (select n.value from jsonb_each(?1) n)
union all
select c.intent_id, null, null, null, c.actor, c.reason, c.goal, null
  from intendant_cancel c
 where c.intent_id in (select n.value from jsonb_each(?1) n)
   and not exists (select 1 from intendant_started s where s.intent_id = c.intent_id)
