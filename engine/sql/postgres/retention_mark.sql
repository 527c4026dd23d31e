-- Retention: from now on nothing of these trees runs again. Primary key. 1 roots.
update intendant.outcome set payload_removed_at = clock_timestamp()
 where intent_id = any ($1::uuid[]) and payload_removed_at is null
