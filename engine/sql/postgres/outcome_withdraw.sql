-- Resume: takes the failed outcome, if it is still there (compare-and-set); it goes into the event.
delete from intendant.outcome where intent_id = $1::uuid and state = 'failed'
returning reason, error, step, plan_hash, started_at, finished_at
