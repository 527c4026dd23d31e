-- Retention: this root, which had to stay, is looked at again. Primary key. 1 root, 2 rows or payloads, 3 now.
update intendant_retention_kept set looked_at = ?3 where intent_id = ?1 and what = ?2
