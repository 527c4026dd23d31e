-- Tick: what was to be taken back before these run again is; unless somebody has cancelled them meanwhile. Primary key.
-- 1 intents.
delete from intendant.cancel where intent_id = any ($1::uuid[]) and goal is not null
