-- Retention: this tree, of which nothing has been removed, has to stay. Primary key. 1 roots.
update intendant.outcome set payload_removed_at = null where intent_id = any ($1::uuid[])
