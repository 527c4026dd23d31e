-- Retention: this root, which had to stay, is looked at again. Primary key. 1 root, 2 rows or payloads.
update intendant.retention_kept set looked_at = clock_timestamp() where intent_id = $1::uuid and what = $2::text
