-- Finish: nobody waits any more.
delete from intendant_wait where intent_id in (select n.value from jsonb_each(?1) n)
