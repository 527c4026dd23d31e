-- Skip: one step has the output that a person gives it. Primary key. 1 intent, 2 step, 3 generation, 4 output.
update intendant.step set state = 'skipped', output = $4::text::json, due_at = null,
       finished_at = clock_timestamp()
 where intent_id = $1::uuid and name = $2::text and generation = $3::bigint and state in ('failed', 'waiting')
