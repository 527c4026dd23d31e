-- Measurements: what one intent's attempts have measured. Primary key. 1 intent.
select step, generation::bigint, attempt::bigint, name, value, at
  from intendant.measure where intent_id = $1::uuid order by step, generation, attempt, name
