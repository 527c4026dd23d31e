-- Undo of what succeeded: the one that takes it back begins where the other ended, by the same plan. Primary keys.
-- 1 the other, 2 the one that takes it back.
insert into intendant_started (intent_id, started_at, plan_hash)
select i.id, i.requested_at, o.plan_hash
  from intendant_intent i cross join intendant_outcome o where i.id = ?2 and o.intent_id = ?1
