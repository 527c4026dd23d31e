-- Retention: these roots do not have to stay any more; or they are unfinished again, and come anew when they finish. Primary key.
-- 1 roots, 2 rows or payloads.
delete from intendant_retention_kept where intent_id in (select n.value from jsonb_each(?1) n) and what = ?2
