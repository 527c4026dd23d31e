-- Admit: what these intents want to hold. Primary key.
select intent_id, resource, mode from intendant_resource
 where intent_id in (select n.value from jsonb_each(?1) n) and mode <> 'touched'
