-- Retention: this large tree has to stay, or its payloads are gone. Primary key. 1 root, 2 rows or payloads.
delete from intendant_retention_large where intent_id = ?1 and what = ?2
