-- Tick: what was to be taken back before these run again is; unless somebody has cancelled them meanwhile. Primary key.
-- 1 intents.
delete from intendant_cancel where intent_id in (select n.value from jsonb_each(?1) n) and goal is not null
