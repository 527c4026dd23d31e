-- Undo: the steps of these intents after which there is no way back, and which have started. Primary key. 1 intents.
select intent_id, name from intendant.step where intent_id = any ($1::uuid[]) and point_of_no_return order by 1, 2
