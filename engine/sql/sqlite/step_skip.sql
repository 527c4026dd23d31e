-- Skip: one step has the output that a person gives it. Primary key. 1 intent, 2 step, 3 generation, 4 output, 5 now.
update intendant_step set state = 'skipped', output = ?4, due_at = null, finished_at = ?5
 where intent_id = ?1 and name = ?2 and generation = ?3 and state in ('failed', 'waiting')
