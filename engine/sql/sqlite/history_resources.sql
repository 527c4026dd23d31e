-- Resources of these intents. Primary key.
select intent_id, resource, mode from intendant_resource
 where intent_id in (select n.value from jsonb_each(?1) n) order by intent_id, resource
