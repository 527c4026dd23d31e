-- Undo of what succeeded: what came of it, and the lock under which nobody else asks for the same. Primary key. 1 intent.
select state from intendant.outcome where intent_id = $1::uuid for update
