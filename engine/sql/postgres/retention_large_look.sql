-- Retention: somebody begins to look through a large tree. Primary key. 1 root, 2 rows or payloads, 3 the number of the look.
update intendant.retention_large set look = $3::uuid where intent_id = $1::uuid and what = $2::text and not goes
