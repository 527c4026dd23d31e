-- Admit: what these intents want to hold. Primary key.
select intent_id, resource, mode from intendant_resource
 where intent_id in (select n.value ->> 0 from json_each(?1) n) and mode <> 'touched'
