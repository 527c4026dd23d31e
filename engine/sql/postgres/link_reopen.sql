-- Finish: what was superseded has failed instead of stopping: what is to become of it is decided again. Primary key.
-- 1 intents.
update intendant.link set asked_at = null where intent_id = any ($1::uuid[]) and relation = 'superseded by'
