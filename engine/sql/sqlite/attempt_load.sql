-- Claim of intents that have been in a lease before: their steps' last attempts. Primary key. 1 intents, 2 now.
select intent_id, step, generation, max(attempt), max(retry_at, 0) - ?2
  from intendant_attempt a where intent_id in (select n.value from jsonb_each(?1) n)
   and generation = (select max(b.generation) from intendant_attempt b where b.intent_id = a.intent_id and b.step = a.step)
 group by intent_id, step
