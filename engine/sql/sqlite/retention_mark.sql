-- Retention: from now on nothing of these trees runs again. Primary key. 1 roots, 2 now.
update intendant_outcome set payload_removed_at = ?2
 where intent_id in (select n.value from jsonb_each(?1) n) and payload_removed_at is null
