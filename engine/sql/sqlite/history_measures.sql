-- Measurements: what one intent's attempts have measured. Primary key. 1 intent.
select step, generation, attempt, name, value, at
  from intendant_measure where intent_id = ?1 order by step, generation, attempt, name
