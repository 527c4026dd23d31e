-- Cancel: takes the tasks of these intents out of *blocked*. Primary key. 1 intents.
delete from intendant_blocked where intent_id in (select n.value from jsonb_each(?1) n) returning intent_id
