-- cx.transaction, after a COMMIT whose answer was lost: is the result there. 1 intent, 2 step, 3 generation.
select output from intendant_step where intent_id = ?1 and name = ?2 and generation = ?3 and state = 'succeeded'
