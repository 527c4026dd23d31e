-- Resources of these intents. Primary key.
select intent_id, resource, mode from intendant_resource
 where intent_id in (select n.value ->> 0 from json_each(?1) n) order by intent_id, resource
