-- Retention: all of a large tree may go. From now on nothing of it runs again. Primary keys. 1 root, 2 rows or payloads, 3 now.
update intendant_retention_large set goes = 1, look = null where intent_id = ?1 and what = ?2;
update intendant_outcome set payload_removed_at = ?3 where intent_id = ?1 and payload_removed_at is null
