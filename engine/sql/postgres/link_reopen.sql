-- Finish: what was superseded has failed instead of stopping: what is to become of it is decided again. Primary key.
-- 1 intents.
update intendant.link l set asked_at = null
 where l.intent_id = any ($1::uuid[]) and l.relation = 'superseded by'
   and not exists (select from intendant.outcome o where o.intent_id = l.other_id)
