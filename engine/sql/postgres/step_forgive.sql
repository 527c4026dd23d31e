-- Resume: failed steps get a fresh attempt budget and have nothing to say any more; what they said is kept with their
-- attempts.
update intendant.step set state = 'pending', forgiven = attempt, error = null, reason = null, due_at = null, started_at = null,
       finished_at = null, worker = null, begun_at = null
 where intent_id = any ($1::uuid[]) and state = 'failed'
