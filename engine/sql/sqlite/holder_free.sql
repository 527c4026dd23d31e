-- Finish: lets go of everything that these intents hold; returns what.
delete from intendant_holder where intent_id in (select n.value from jsonb_each(?1) n) returning resource
