-- Retention: this tree, of which nothing has been removed, has to stay. Primary key. 1 roots.
update intendant_outcome set payload_removed_at = null where intent_id in (select n.value from jsonb_each(?1) n)
