-- Tick and reap: these routed steps have ended; returns those for which that is so now, and whose they are. What comes back
-- is what may be counted, once. Primary key. 1 tasks.
delete from intendant.routed where task_id = any ($1::uuid[])
returning task_id, intent_id
