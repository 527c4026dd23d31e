-- Reap: which step a suspect said it was in.
select intent_id, name from intendant_step
 where intent_id in (select n.value from jsonb_each(?1) n) and state = 'running'
