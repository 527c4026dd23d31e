-- Finish of cancelled intents: steps that waited, or ran when their worker died, will not go on; one that was sent to another
-- queue and that nobody has begun with is as if it had not been sent. Primary key. 1 intents.
update intendant.step
   set state = case when started_at is null then 'pending' else 'failed' end, due_at = null,
       finished_at = case when started_at is not null then coalesce(finished_at, clock_timestamp()) end,
       error = case when started_at is not null then coalesce(error, 'the intent was cancelled') end
 where intent_id = any ($1::uuid[]) and state in ('running', 'waiting')
