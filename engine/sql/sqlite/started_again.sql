-- Resume and the like: from now on their limits count. Primary key. 1 intents, 2 now.
update intendant_started set again_at = ?2 where intent_id in (select n.value from jsonb_each(?1) n)
