-- Finish: these have been cancelled: what asked for it is kept with their events. Primary key. 1 intents.
delete from intendant_cancel where intent_id in (select n.value from jsonb_each(?1) n)
