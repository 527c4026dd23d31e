-- Housekeeping: deadlines that have been seen to. Primary key. 1–3 intent, step, generation.
delete from intendant.deadline d
 using unnest($1::uuid[], $2::text[], $3::bigint[]) as n (intent_id, step, generation)
 where d.intent_id = n.intent_id and d.step = n.step and d.generation = n.generation
