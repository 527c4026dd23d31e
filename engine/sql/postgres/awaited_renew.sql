-- Tick: steps that are run again wait anew: a message that comes now is not for what they waited for before. What has come
-- stays with the generation that took it. Primary key. 1–3 intent, step, generation so far.
delete from intendant.awaited a
 using unnest($1::uuid[], $2::text[], $3::bigint[]) as n (intent_id, step, generation)
 where a.intent_id = n.intent_id and a.step = n.step and a.generation <= n.generation and a.signal_id is null
