-- Resume: takes the failed outcomes of these intents, those that are still there (compare-and-set); they go into events.
delete from intendant.outcome where intent_id = any ($1::uuid[]) and state = 'failed'
returning intent_id, reason, error, step, plan_hash, started_at, finished_at
