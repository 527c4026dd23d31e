-- Retention: all of a large tree may go. From now on nothing of it runs again. Primary keys. 1 root, 2 rows or payloads.
with goes as (
  update intendant.retention_large set goes = true, look = null where intent_id = $1::uuid and what = $2::text
)
update intendant.outcome set payload_removed_at = clock_timestamp() where intent_id = $1::uuid and payload_removed_at is null
