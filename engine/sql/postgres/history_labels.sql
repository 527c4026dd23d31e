-- Labels of these intents. Primary key.
select intent_id, name, value from intendant.label where intent_id = any ($1::uuid[]) order by intent_id, name
