-- Retention: these roots do not have to stay any more; or they are unfinished again, and come anew when they finish. Primary key.
-- 1 roots, 2 rows or payloads.
delete from intendant.retention_kept where intent_id = any ($1::uuid[]) and what = $2::text
