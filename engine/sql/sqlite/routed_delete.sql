-- Tick and reap: these routed steps have ended; returns those for which that is so now, and whose they are. What comes back
-- is what may be counted, once. Primary key. 1 tasks.
delete from intendant_routed where task_id in (select n.value from jsonb_each(?1) n)
returning task_id, intent_id
