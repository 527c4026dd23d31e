-- Finish of cancelled intents: steps that waited, or ran when their worker died, will not go on. Primary key.
-- 1 intents, 2 now.
update intendant_step set state = 'failed', due_at = null, finished_at = coalesce(finished_at, ?2),
       error = coalesce(error, 'the intent was cancelled')
 where intent_id in (select n.value from jsonb_each(?1) n) and state in ('running', 'waiting')
