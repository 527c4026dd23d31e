-- Resume: failed steps get a fresh attempt budget and have nothing to say any more; what they said is kept with their
-- attempts.
update intendant_step set state = 'pending', forgiven = attempt, error = null, reason = null, due_at = null, started_at = null,
       finished_at = null, worker = null, begun_at = null
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'failed'
