-- Retention: somebody begins to look through a large tree. Primary key. 1 root, 2 rows or payloads, 3 the number of the look.
update intendant_retention_large set look = ?3 where intent_id = ?1 and what = ?2 and not goes
