-- Undo of what succeeded: what came of it; the transaction is the only writer. Primary key. 1 intent.
select state from intendant_outcome where intent_id = ?1
