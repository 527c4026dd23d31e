-- Cancel: takes the tasks of these tasks out of *parked*. Primary key. 1 tasks.
delete from intendant_parked where intent_id in (select n.value from jsonb_each(?1) n) returning intent_id
