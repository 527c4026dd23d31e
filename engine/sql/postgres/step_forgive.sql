-- Resume: failed steps get a fresh attempt budget.
update intendant.step set state = 'pending', forgiven = attempt, due_at = null
 where intent_id = any ($1::uuid[]) and state = 'failed'
