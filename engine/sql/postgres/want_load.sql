-- Admit: what these intents want to hold. Primary key.
select intent_id, resource, mode from intendant.resource where intent_id = any ($1::uuid[]) and mode <> 'touched'
