-- Finish: what was superseded has failed instead of stopping: what is to become of it is decided again. Primary key.
-- 1 intents.
update intendant_link set asked_at = null
 where intent_id in (select n.value from jsonb_each(?1) n) and relation = 'superseded by'
   and not exists (select 1 from intendant_outcome o where o.intent_id = other_id)
