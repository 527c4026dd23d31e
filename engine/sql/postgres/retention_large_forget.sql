-- Retention: this large tree has to stay, or its payloads are gone. Primary key. 1 root, 2 rows or payloads.
delete from intendant.retention_large where intent_id = $1::uuid and what = $2::text
