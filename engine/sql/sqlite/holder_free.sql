-- Finish: lets go of everything that these intents hold; returns what.
delete from intendant_holder where intent_id in (select n.value ->> 0 from json_each(?1) n) returning resource
