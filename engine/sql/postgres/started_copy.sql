-- Undo of what succeeded: the one that takes it back begins where the other ended, by the same plan. Primary keys.
-- 1 the other, 2 the one that takes it back.
insert into intendant.started (intent_id, started_at, plan_hash)
select i.id, i.requested_at, o.plan_hash
  from intendant.intent i cross join intendant.outcome o where i.id = $2::uuid and o.intent_id = $1::uuid
