-- Finish: these have been cancelled: what asked for it is kept with their events. Primary key. 1 intents.
delete from intendant.cancel where intent_id = any ($1::uuid[])
