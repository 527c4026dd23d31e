-- Resume: failed steps get a fresh attempt budget.
update intendant_step set state = 'pending', forgiven = attempt, due_at = null
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'failed'
