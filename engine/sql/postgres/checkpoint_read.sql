-- cx.last_checkpoint. Primary key. 1 intent, 2 step, 3 generation.
select value from intendant.checkpoint where intent_id = $1::uuid and step = $2::text and generation = $3::bigint
