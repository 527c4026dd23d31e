-- Reap: which step a suspect said it was in; what runs in another queue is another task's.
select intent_id, name from intendant_step
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'running' and queue is null
