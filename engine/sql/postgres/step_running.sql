-- Reap: which steps suspects said they were in, how far they said they were, and whether they run with their intent.
select intent_id, name, progress, queue is null from intendant.step where intent_id = any ($1::uuid[]) and state = 'running'
