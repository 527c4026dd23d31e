-- Finish: nobody waits any more.
delete from intendant_wait where intent_id in (select n.value ->> 0 from json_each(?1) n)
