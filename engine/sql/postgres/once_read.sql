-- cx.transaction, after a COMMIT whose answer was lost: is the result there. 1 intent, 2 step, 3 generation.
select output from intendant.step
 where intent_id = $1::uuid and name = $2::text and generation = $3::bigint and state = 'succeeded'
