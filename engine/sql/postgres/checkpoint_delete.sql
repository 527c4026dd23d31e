-- Tick, cx.transaction, skip, rerun: these steps have a result or are in a later generation, and their safe points are of
-- no use any more. Primary key. 1–3 intent, step, generation.
delete from intendant.checkpoint c
 using unnest($1::uuid[], $2::text[], $3::bigint[]) as n (intent_id, step, generation)
 where c.intent_id = n.intent_id and c.step = n.step and c.generation <= n.generation
