-- Reap: which steps suspects said they were in, how far they said they were, and whether they run with their intent.
select intent_id, name, progress, queue is null from intendant_step
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'running'
