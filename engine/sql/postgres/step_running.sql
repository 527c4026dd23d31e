-- Reap: which step a suspect said it was in.
select intent_id, name from intendant.step where intent_id = any ($1::uuid[]) and state = 'running'
