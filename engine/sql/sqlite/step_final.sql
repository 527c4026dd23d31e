-- Undo: the steps of these intents after which there is no way back, and which have started. Primary key. 1 intents.
select intent_id, name from intendant_step
 where intent_id in (select n.value from jsonb_each(?1) n) and point_of_no_return order by 1, 2
