-- Finish of cancelled intents: steps that waited, or ran when their worker died, will not go on; one that was sent to another
-- queue and that nobody has begun with is as if it had not been sent. Primary key. 1 intents, 2 now.
update intendant_step
   set state = case when started_at is null then 'pending' else 'failed' end, due_at = null,
       finished_at = case when started_at is not null then coalesce(finished_at, ?2) end,
       error = case when started_at is not null then coalesce(error, 'the intent was cancelled') end
 where intent_id in (select n.value from jsonb_each(?1) n) and state in ('running', 'waiting')
