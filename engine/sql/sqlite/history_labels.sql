-- Labels of these intents. Primary key.
select intent_id, name, value from intendant_label
 where intent_id in (select n.value from jsonb_each(?1) n) order by intent_id, name
