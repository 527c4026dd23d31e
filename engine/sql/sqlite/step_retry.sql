-- Retry: one step gets a fresh attempt budget, and waits for nothing. Primary key. 1 intent, 2 step, 3 generation.
update intendant_step set state = 'pending', forgiven = attempt, error = null, reason = null, due_at = null, started_at = null,
       finished_at = null, worker = null, begun_at = null
 where intent_id = ?1 and name = ?2 and generation = ?3 and state in ('failed', 'waiting')
