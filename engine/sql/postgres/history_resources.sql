-- Resources of these intents. Primary key.
select intent_id, resource, mode from intendant.resource where intent_id = any ($1::uuid[]) order by intent_id, resource
