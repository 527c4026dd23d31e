-- Reap: which step a suspect said it was in; what runs in another queue is another task's.
select intent_id, name from intendant.step where intent_id = any ($1::uuid[]) and state = 'running' and queue is null
