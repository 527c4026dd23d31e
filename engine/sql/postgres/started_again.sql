-- Resume and the like: from now on their limits count. Primary key.
update intendant.started set again_at = clock_timestamp() where intent_id = any ($1::uuid[])
