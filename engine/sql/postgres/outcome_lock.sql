-- Undo of what succeeded: what came of it, and the lock under which nobody else asks for the same. Primary key. 1 intent.
select state, plan_hash from intendant.outcome where intent_id = $1::uuid for update
