-- Finish of cancelled intents: steps that waited, or ran when their worker died, will not go on. Primary key. 1 intents.
update intendant.step set state = 'failed', due_at = null, finished_at = coalesce(finished_at, clock_timestamp()),
       error = coalesce(error, 'the intent was cancelled')
 where intent_id = any ($1::uuid[]) and state in ('running', 'waiting')
