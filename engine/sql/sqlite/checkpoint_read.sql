-- cx.last_checkpoint. Primary key. 1 intent, 2 step, 3 generation.
select value from intendant_checkpoint where intent_id = ?1 and step = ?2 and generation = ?3
